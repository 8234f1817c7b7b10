package api

import (
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const eventsPath = "/v1/events"

func TestCreateEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		subscribed := d.endpoint(t, "https://shop.example/a", with("events", []string{"custom.*"}))
		d.endpoint(t, "https://shop.example/b", with("events", []string{"order.*"}))
		live := dig(t, d.askAs(t, d.shop.LiveKey, post, endpointsPath, endpointBody("https://shop.example/live")).ok(t, 201), "id").(string)
		body := `{"type":"custom.license.activated","data":{"machine":"lovelace-1","nested":{"n":[1.5,2.0,null]}}}`
		a := d.once(t, eventsPath, body)
		d.asDocumented(t, post, eventsPath, a)
		wantMember(t, a, `{"machine":"lovelace-1","nested":{"n":[1.5,2,null]}}`, "data")
		wantMember(t, a, `null`, "order")
		id := dig(t, a, "id").(string)
		if got, want := a.header.Get("Location"), storetest.PublicURL+eventsPath+"/"+id; got != want {
			t.Errorf("Location is %q, want %q", got, want)
		}
		if got := d.ask(t, get, eventsPath+"/"+id, nil).ok(t, 200); string(got.body) != string(a.body) {
			t.Errorf("stored as %s, created as %s", got.body, a.body)
		}
		d.pages(t, eventsPath, []string{id})
		deliveries := d.ask(t, get, "/v1/deliveries?event="+id, nil).ok(t, 200)
		if ids, _ := deliveries.ids(t); len(ids) != 1 {
			t.Fatalf("there are %d deliveries: %s", len(ids), deliveries.body)
		}
		if ids, _ := d.ask(t, get, "/v1/deliveries?endpoint="+subscribed, nil).ids(t); len(ids) != 1 {
			t.Errorf("the subscribed endpoint has %d deliveries", len(ids))
		}
		if ids, _ := d.askAs(t, d.shop.LiveKey, get, "/v1/deliveries?endpoint="+live, nil).ids(t); len(ids) != 0 {
			t.Errorf("an event of test mode has %d deliveries in live mode", len(ids))
		}
	})
}

func TestListEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		order := storetest.Order(t, s, d.shop.Test, "editor-pro", 1)
		var custom []string
		for range 3 {
			a := d.ask(t, post, eventsPath, `{"type":"custom.a","data":{}}`).ok(t, 201)
			custom = append([]string{dig(t, a, "id").(string)}, custom...)
		}
		created, _ := d.ask(t, get, eventsPath+"?type=order.created", nil).ok(t, 200).ids(t)
		if len(created) != 1 {
			t.Fatalf("%d order.created", len(created))
		}
		d.pages(t, eventsPath, append(custom, created...))
		d.pages(t, eventsPath+"?type=custom.a", custom)
		d.pages(t, eventsPath+"?type=custom.b", nil)
		d.pages(t, eventsPath+"?order="+order.ID, created)
		a := d.ask(t, get, eventsPath+"/"+created[0], nil).ok(t, 200)
		wantMember(t, a, `"`+order.ID+`"`, "order")
		wantMember(t, a, `"`+order.ID+`"`, "data", "id")
		for _, key := range []string{d.shop.LiveKey, d.other.TestKey} {
			d.askAs(t, key, get, eventsPath+"/"+created[0], nil).want(t, 404, codeNotFound)
			if ids, _ := d.askAs(t, key, get, eventsPath+"?order="+order.ID, nil).ok(t, 200).ids(t); len(ids) != 0 {
				t.Errorf("somebody else sees %q", ids)
			}
		}
	})
}
