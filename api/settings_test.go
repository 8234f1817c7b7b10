package api

import (
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const settingsPath = "/v1/settings"

func TestSettings(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		a := d.ask(t, get, settingsPath, nil).ok(t, 200)
		for name, want := range map[string]string{
			"reminders": `{"online":["1h","48h"],"offline":["0s","144h","312h"]}`, "delete_unpaid_after": `"2160h"`, "anonymize_after": `null`,
			"refund_approval": `"auto"`, "support_email": `""`, "support_url": `""`, "terms_version": `""`, "privacy_version": `""`, "live": `false`,
		} {
			wantMember(t, a, want, name)
		}
		for _, c := range []struct{ name, patch, member, want string }{
			{"nothing", `{}`, "delete_unpaid_after", `"2160h"`},
			{"a duration", `{"delete_unpaid_after":"90s"}`, "delete_unpaid_after", `"1m30s"`},
			{"one list", `{"reminders":{"online":["30m"]}}`, "reminders", `{"online":["30m"],"offline":["0s","144h","312h"]}`},
			{"no reminders", `{"reminders":{"offline":[]}}`, "reminders", `{"online":["30m"],"offline":[]}`},
			{"a list's default", `{"reminders":{"online":null}}`, "reminders", `{"online":["1h","48h"],"offline":[]}`},
			{"all reminders' default", `{"reminders":null}`, "reminders", `{"online":["1h","48h"],"offline":["0s","144h","312h"]}`},
			{"a duration that may be missing", `{"anonymize_after":"24h"}`, "anonymize_after", `"24h"`},
			{"what is absent stays", `{"refund_approval":"owner"}`, "anonymize_after", `"24h"`},
			{"null for never", `{"anonymize_after":null}`, "anonymize_after", `null`},
			{"null for a default", `{"refund_approval":null,"delete_unpaid_after":null}`, "delete_unpaid_after", `"2160h"`},
			{"support", `{"support_email":"help@shop.example","support_url":"https://shop.example/help"}`, "support_url", `"https://shop.example/help"`},
			{"a version of the terms", `{"terms_version":"2026-10 – ä"}`, "terms_version", `"2026-10 – ä"`},
			{"a version of the privacy notice", `{"privacy_version":"` + strings.Repeat("é", 100) + `"}`, "terms_version", `"2026-10 – ä"`},
			{"other texts", `{"branding":null}`, "terms_version", `"2026-10 – ä"`},
			{"null for no version", `{"terms_version":null}`, "privacy_version", `"` + strings.Repeat("é", 100) + `"`},
			{"no version", `{"privacy_version":""}`, "terms_version", `""`},
			{"no support", `{"support_email":null,"support_url":""}`, "support_email", `""`},
		} {
			a := d.ask(t, patch, settingsPath, c.patch).ok(t, 200)
			t.Log(c.name)
			wantMember(t, a, c.want, c.member)
			if stored := d.ask(t, get, settingsPath, nil); string(stored.body) != string(a.body) {
				t.Errorf("%s: answered %s, stored %s", c.name, a.body, stored.body)
			}
		}
		wantMember(t, d.askAs(t, d.other.TestKey, get, settingsPath, nil), `["1h","48h"]`, "reminders", "online")
	})
}

func TestSettingsOfALiveMerchant(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		wantMember(t, d.ask(t, patch, settingsPath, `{"live":true}`).ok(t, 200), `true`, "live")
		before := d.state(t)
		d.ask(t, patch, settingsPath, `{"live":false}`).want(t, 403, codeForbidden)
		d.ask(t, patch, settingsPath, `{"delete_unpaid_after":"1h"}`).want(t, 403, codeForbidden)
		if got := d.state(t); got != before {
			t.Errorf("a test key changed\n%s to\n%s", before, got)
		}
		wantMember(t, d.ask(t, get, settingsPath, nil).ok(t, 200), `"2160h"`, "delete_unpaid_after")
		wantMember(t, d.askAs(t, d.shop.LiveKey, patch, settingsPath, `{"delete_unpaid_after":"1h"}`).ok(t, 200), `"1h"`, "delete_unpaid_after")
		// Both modes have the same settings.
		wantMember(t, d.ask(t, get, settingsPath, nil).ok(t, 200), `"1h"`, "delete_unpaid_after")
	})
}
