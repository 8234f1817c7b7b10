package api

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// signed is a delivery as Purser makes it.
func signed(t testing.TB, secret, id, body string) ask {
	t.Helper()
	header, err := webhook.Header([]string{secret}, id, time.Now(), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	a := ask{method: "POST", path: "/demo/webhooks", body: body, header: map[string]string{"Content-Type": "application/json"}}
	for name := range header {
		a.header[name] = header.Get(name)
	}
	return a
}

func TestTheDemoReceiverVerifiesDeliveries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		secret := webhook.NewSecret()
		d := newDoor(t, s, func(c *Config) {
			c.Demo = true
			c.DemoSecret = func(context.Context) (string, error) { return secret, nil }
		})
		const body = `{"id":"evt_1","type":"order.created","data":{"name":"<i>Ada</i>"}}`
		if page := d.browser().get(t, "/demo/webhooks").ok(t, 200); !bytes.Contains(page.body, []byte("Nothing yet")) {
			t.Errorf("%s", page.body)
		}
		d.knock(t, signed(t, secret, "evt_1", body)).ok(t, 204)
		again := signed(t, secret, "evt_1", body)
		d.knock(t, again).ok(t, 204)

		tampered := signed(t, secret, "evt_2", body)
		tampered.body = strings.Replace(body, "order.created", "payment.succeeded", 1)
		foreign := signed(t, webhook.NewSecret(), "evt_3", body)
		unsigned := ask{method: "POST", path: "/demo/webhooks", body: "not json"}
		old := signed(t, secret, "evt_4", body)
		at := time.Now().Add(-time.Hour)
		late, err := webhook.Header([]string{secret}, "evt_4", at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		for name := range late {
			old.header[name] = late.Get(name)
		}
		for name, a := range map[string]ask{"tampered": tampered, "another secret": foreign, "unsigned": unsigned, "old": old} {
			if got := d.knock(t, a); got.status != 401 {
				t.Errorf("%s: %d", name, got.status)
			}
		}

		page := string(d.browser().get(t, "/demo/webhooks").ok(t, 200).body)
		if n := strings.Count(page, "✓ Signature verifies"); n != 2 {
			t.Errorf("%d verify: %s", n, page)
		}
		if n := strings.Count(page, "✗ "); n != 4 {
			t.Errorf("%d do not: %s", n, page)
		}
		if n := strings.Count(page, "Attempt 2"); n != 1 {
			t.Errorf("%d second attempts: %s", n, page)
		}
		if !strings.Contains(page, "&lt;i&gt;Ada&lt;/i&gt;") || strings.Contains(page, "<i>") || !strings.Contains(page, "not an event") {
			t.Errorf("%s", page)
		}
		if strings.Contains(page, "http-equiv") {
			t.Error("the page loads itself again without being asked")
		}
		if live := d.browser().get(t, "/demo/webhooks?live=1").ok(t, 200); !bytes.Contains(live.body, []byte(`http-equiv="refresh" content="3"`)) {
			t.Error("the page does not load itself again")
		}
		if strings.Contains(page+d.log.String(), secret) || strings.Contains(d.log.String(), "Ada") {
			t.Error("the secret or a body is told")
		}
	})
}

func TestTheDemoReceiverRemembersABoundedNumber(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	for range receivedKept + 50 {
		r.add(received{ID: "evt_same"})
	}
	got := r.list()
	if len(got) != receivedKept || got[0].Attempt != receivedKept+50 || got[receivedKept-1].Attempt != 51 {
		t.Errorf("%d kept, attempts %d to %d", len(got), got[len(got)-1].Attempt, got[0].Attempt)
	}
	if text := pretty(bytes.Repeat([]byte("ä"), receivedShown)); len(text) > receivedShown+10 || !strings.HasSuffix(text, "ä\n…") {
		t.Errorf("%d bytes shown", len(text))
	}
	if text := pretty([]byte{'a', 0xff}); text != "a�" {
		t.Errorf("%q", text)
	}
}

func TestTheDemoReceiverWithoutASecretBelievesNobody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, f := range []func(context.Context) (string, error){nil, func(context.Context) (string, error) { return "", errors.New("lost") }} {
			d := newDoor(t, s, func(c *Config) { c.Demo, c.DemoSecret = true, f })
			d.knock(t, signed(t, webhook.NewSecret(), "evt_1", "{}")).ok(t, 401)
			if page := d.browser().get(t, "/demo/webhooks").ok(t, 200); !bytes.Contains(page.body, []byte("does not know its secret")) {
				t.Errorf("%s", page.body)
			}
		}
	})
}
