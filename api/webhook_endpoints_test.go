package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const endpointsPath = "/v1/webhook-endpoints"

func endpointBody(url string, change ...func(map[string]any)) map[string]any {
	b := map[string]any{"url": url}
	for _, f := range change {
		f(b)
	}
	return b
}

// endpoint makes an endpoint with the test key and returns its id.
func (d *catalogue) endpoint(t testing.TB, url string, change ...func(map[string]any)) string {
	t.Helper()
	return dig(t, d.ask(t, post, endpointsPath, endpointBody(url, change...)).ok(t, 201), "id").(string)
}

func TestCreateWebhookEndpoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		const url = "https://shop.example/hooks?token=t0ken"
		a := d.once(t, endpointsPath, endpointBody(url))
		d.asDocumented(t, post, endpointsPath, a)
		id, secret := dig(t, a, "id").(string), dig(t, a, "secret").(string)
		if !strings.HasPrefix(secret, "whsec_") || len(secret) < 40 {
			t.Errorf("the secret is %q", secret)
		}
		if got, want := a.header.Get("Location"), storetest.PublicURL+endpointsPath+"/"+id; got != want {
			t.Errorf("Location is %q, want %q", got, want)
		}
		for name, want := range map[string]string{
			"url": `"` + url + `"`, "events": `["*"]`, "format": `"standard"`, "description": `""`, "include_license_keys": `false`,
			"status": `"enabled"`, "test": `true`,
		} {
			wantMember(t, a, want, name)
		}
		if n := d.count(t, "webhook_endpoints"); n != 1 {
			t.Errorf("there are %d endpoints", n)
		}
		full := d.ask(t, post, endpointsPath, endpointBody("https://shop.example:8443/", with("events", []string{"order.*", "payment.succeeded", "custom.shipped"}),
			with("format", "standard"), with("description", "Ours"), with("include_license_keys", true))).ok(t, 201)
		wantMember(t, full, `["order.*","payment.succeeded","custom.shipped"]`, "events")
		wantMember(t, full, `true`, "include_license_keys")
		if dig(t, full, "secret") == secret {
			t.Error("two endpoints have the same secret")
		}
		// The secret is shown this once, and written nowhere in the clear.
		for _, path := range []string{endpointsPath, endpointsPath + "/" + id} {
			if got := d.ask(t, get, path, nil).ok(t, 200); strings.Contains(string(got.body), "whsec_") || strings.Contains(string(got.body), `"secret"`) {
				t.Errorf("%s shows the secret: %s", path, got.body)
			}
		}
		changed := d.ask(t, patch, endpointsPath+"/"+id, `{"description":"Ours"}`).ok(t, 200)
		if log := d.log.String(); strings.Contains(string(changed.body)+log, "whsec_") || strings.Contains(log, "t0ken") {
			t.Error("the secret or the endpoint's address is where it should not be")
		}
		var sealed, answer []byte
		if err := s.SQL().QueryRow("SELECT secret FROM webhook_endpoints WHERE id = $1", id).Scan(&sealed); err != nil {
			t.Fatal(err)
		}
		if err := s.SQL().QueryRow("SELECT body FROM idempotency_keys WHERE path = $1", endpointsPath).Scan(&answer); err != nil {
			t.Fatal(err)
		}
		if stored := string(sealed) + string(answer); len(sealed) == 0 || len(answer) == 0 || strings.Contains(stored, "whsec_") || strings.Contains(stored, secret[6:]) {
			t.Errorf("stored in the clear: %q", stored)
		}
	})
}

func TestWebhookEndpointTargets(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		trusted, live, test, err := s.CreateMerchant(t.Context(), models.MerchantInput{Name: "Inside", Email: "in@example.com", AllowPrivateTargets: true})
		if err != nil {
			t.Fatal(err)
		}
		const (
			testMode    = 1 << iota // of a merchant whose targets are public
			liveMode                // likewise
			trustedMode             // either mode of a merchant whose targets may be private
			nobody      = 0
			everybody   = testMode | liveMode | trustedMode
		)
		targets := []struct {
			url string
			who int
		}{
			{"https://shop.example/hooks", everybody},
			{"HTTPS://shop.example/hooks", everybody},
			{"https://203.0.114.7:8443/hooks?token=1", everybody},
			{"http://shop.example/hooks", testMode | trustedMode},
			{"http://127.0.0.1:9999/hooks", trustedMode},
			{"http://localhost:9999/hooks", trustedMode},
			{"https://[::ffff:127.0.0.1]/", trustedMode},
			{"https://10.0.0.7/hooks", nobody},
			{"https://[::1]/hooks", nobody},
			{"http://169.254.169.254/latest", nobody},
			{"http://0.0.0.0/", nobody},
			{"http://0x7f.1/", nobody},
			{"ftp://shop.example/", nobody},
			{"https://user:pass@shop.example/", nobody},
			{"https://shop.example/#top", nobody},
			{"https:///hooks", nobody},
			{"shop.example/hooks", nobody},
			{"https://shop.example:99999/", nobody},
			{"https://shöp.example/", nobody},
			{"https://shop.example/ hooks", nobody},
			{"javascript:alert(1)", nobody},
			{"", nobody},
			{"https://x.example/" + strings.Repeat("a", 2048), nobody},
		}
		for _, c := range []struct {
			key string
			who int
		}{{d.shop.TestKey, testMode}, {d.shop.LiveKey, liveMode}, {test, trustedMode}, {live, trustedMode}} {
			id := dig(t, d.askAs(t, c.key, post, endpointsPath, endpointBody("https://shop.example/first")).ok(t, 201), "id").(string)
			for _, target := range targets {
				t.Log(target.url)
				created := d.askAs(t, c.key, post, endpointsPath, endpointBody(target.url))
				changed := d.askAs(t, c.key, patch, endpointsPath+"/"+id, endpointBody(target.url))
				if target.who&c.who == 0 {
					created.want(t, 422, codeInvalid, "url")
					changed.want(t, 422, codeInvalid, "url")
					continue
				}
				wantMember(t, created.ok(t, 201), `"`+target.url+`"`, "url")
				wantMember(t, changed.ok(t, 200), `"`+target.url+`"`, "url")
			}
		}
		if n := storetest.Count(t, s, "SELECT COUNT(*) FROM webhook_endpoints WHERE merchant_id = $1", trusted.ID); n != 2*(1+7) {
			t.Errorf("the trusted merchant has %d endpoints", n)
		}
	})
}

func TestUpdateWebhookEndpoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		path := endpointsPath + "/" + d.endpoint(t, "https://shop.example/a", with("events", []string{"order.*"}), with("description", "Old"),
			with("include_license_keys", true))
		for _, c := range []struct{ name, patch, member, want string }{
			{"nothing", `{}`, "url", `"https://shop.example/a"`},
			{"an address", `{"url":"https://shop.example/b"}`, "url", `"https://shop.example/b"`},
			{"what is absent stays", `{"description":"New"}`, "events", `["order.*"]`},
			{"subscriptions", `{"events":["product.delivered","license.*"]}`, "events", `["product.delivered","license.*"]`},
			{"all events", `{"events":null}`, "events", `["*"]`},
			{"no description", `{"description":null}`, "description", `""`},
			{"no keys", `{"include_license_keys":null}`, "include_license_keys", `false`},
			{"the format that it has", `{"format":"standard"}`, "format", `"standard"`},
		} {
			a := d.ask(t, patch, path, c.patch).ok(t, 200)
			t.Log(c.name)
			wantMember(t, a, c.want, c.member)
			if stored := d.ask(t, get, path, nil); string(stored.body) != string(a.body) {
				t.Errorf("%s: answered %s, stored %s", c.name, a.body, stored.body)
			}
		}
	})
}

func TestWebhookEndpointsAreOneModes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		var mine []string
		for _, name := range []string{"a", "b", "c"} {
			mine = append([]string{d.endpoint(t, "https://shop.example/"+name)}, mine...)
		}
		live := dig(t, d.askAs(t, d.shop.LiveKey, post, endpointsPath, endpointBody("https://shop.example/live")).ok(t, 201), "id").(string)
		d.pages(t, endpointsPath, mine)
		if ids, _ := d.askAs(t, d.shop.LiveKey, get, endpointsPath, nil).ids(t); !slices.Equal(ids, []string{live}) {
			t.Errorf("in live mode there are %q", ids)
		}
		if ids, _ := d.askAs(t, d.other.TestKey, get, endpointsPath, nil).ids(t); len(ids) != 0 {
			t.Errorf("another merchant sees %q", ids)
		}
		before := d.state(t)
		for _, key := range []string{d.shop.LiveKey, d.other.TestKey} {
			path := endpointsPath + "/" + mine[0]
			d.askAs(t, key, get, path, nil).want(t, 404, codeNotFound)
			d.askAs(t, key, patch, path, `{"description":"Mine"}`).want(t, 404, codeNotFound)
			d.askAs(t, key, remove, path, nil).want(t, 404, codeNotFound)
			d.askAs(t, key, post, path+"/test", nil).want(t, 404, codeNotFound)
		}
		if got := d.state(t); got != before {
			t.Errorf("somebody else changed\n%s to\n%s", before, got)
		}
		// A fact of one mode goes to that mode's endpoints.
		storetest.Order(t, s, d.shop.Test, "editor-pro", 1)
		ids, _ := d.ask(t, get, "/v1/deliveries", nil).ids(t)
		foreign, _ := d.askAs(t, d.shop.LiveKey, get, "/v1/deliveries", nil).ids(t)
		if len(ids) != len(mine) || len(foreign) != 0 {
			t.Errorf("%d deliveries in test mode and %d in live mode", len(ids), len(foreign))
		}
	})
}

func TestDeleteWebhookEndpoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		gone, kept := d.endpoint(t, "https://shop.example/gone"), d.endpoint(t, "https://shop.example/kept")
		storetest.Order(t, s, d.shop.Test, "editor-pro", 1)
		a := d.ask(t, remove, endpointsPath+"/"+gone, nil).ok(t, 200)
		wantMember(t, a, `{"id":"`+gone+`","deleted":true}`)
		d.ask(t, remove, endpointsPath+"/"+gone, nil).want(t, 404, codeNotFound)
		d.ask(t, get, endpointsPath+"/"+gone, nil).want(t, 404, codeNotFound)
		d.ask(t, post, endpointsPath+"/"+gone+"/test", nil).want(t, 404, codeNotFound)
		d.pages(t, endpointsPath, []string{kept})
		for endpoint, status := range map[string]string{gone: "cancelled", kept: "pending"} {
			ids, _ := d.ask(t, get, "/v1/deliveries?endpoint="+endpoint+"&status="+status, nil).ids(t)
			if len(ids) != 1 {
				t.Fatalf("%d deliveries to %s are %s", len(ids), endpoint, status)
			}
			if endpoint == gone {
				d.ask(t, post, "/v1/deliveries/"+ids[0]+"/retry", nil).want(t, 409, codeConflict)
			}
		}
		storetest.Order(t, s, d.shop.Test, "editor-pro", 1)
		if ids, _ := d.ask(t, get, "/v1/deliveries?endpoint="+gone, nil).ids(t); len(ids) != 1 {
			t.Errorf("%d deliveries to the endpoint that is gone", len(ids))
		}
	})
}

func TestTestWebhookEndpoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		id := d.endpoint(t, "https://shop.example/hooks", with("events", []string{"order.created"}))
		d.endpoint(t, "https://shop.example/other")
		before := len(storetest.Jobs(t, s, jobs.KindDeliver))
		a := d.once(t, endpointsPath+"/"+id+"/test", nil)
		d.asDocumented(t, post, endpointsPath+"/"+id+"/test", a)
		for name, want := range map[string]string{
			"endpoint": `"` + id + `"`, "event_type": `"webhook_endpoint.test"`, "status": `"pending"`, "attempt_count": `0`, "attempts": `[]`,
		} {
			wantMember(t, a, want, name)
		}
		if staged := storetest.Jobs(t, s, jobs.KindDeliver)[before:]; len(staged) != 1 {
			t.Errorf("%d deliveries were staged", len(staged))
		}
		delivery := strings.TrimPrefix(a.header.Get("Location"), storetest.PublicURL)
		if got := d.ask(t, get, delivery, nil).ok(t, 200); dig(t, got, "id") != dig(t, a, "id") {
			t.Errorf("%s is %s", delivery, got.body)
		}
		wantMember(t, d.ask(t, get, "/v1/events/"+dig(t, a, "event").(string), nil).ok(t, 200), `"`+id+`"`, "data", "webhook_endpoint", "id")
	})
}
