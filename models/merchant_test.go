package models_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestCreateMerchant(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		m, live, test, err := s.CreateMerchant(t.Context(), models.MerchantInput{Name: "  Müller & Söhne GmbH ", Email: "a@example.com", AllowPrivateTargets: true})
		if err != nil {
			t.Fatal(err)
		}
		if m.Slug != "muller-sohne-gmbh" || m.Name != "Müller & Söhne GmbH" || m.Live || !m.AllowPrivateTargets {
			t.Errorf("created %+v", m)
		}
		for key, scope := range map[string]models.Scope{live: {MerchantID: m.ID}, test: {MerchantID: m.ID, Test: true}} {
			p, err := s.Authenticate(t.Context(), key)
			if err != nil || p.Scope != scope {
				t.Errorf("the key of %+v is one of %+v (%v)", scope, p.Scope, err)
			}
		}
		if !strings.HasPrefix(live, "psk_live_") || !strings.HasPrefix(test, "psk_test_") {
			t.Error("the keys' prefixes do not tell their modes")
		}
		again, err := s.Merchant(t.Context(), m.ID)
		if err != nil || again.Slug != m.Slug || again.Settings.RefundApproval != "auto" || again.DeleteUnpaidAfterS != 90*24*3600 {
			t.Errorf("stored %+v (%v)", again, err)
		}
		if bySlug, err := s.MerchantBySlug(t.Context(), m.Slug); err != nil || bySlug.ID != m.ID {
			t.Errorf("by slug: %v", err)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM reminder_rules WHERE merchant_id = $1`, m.ID); n != 5 {
			t.Errorf("%d reminder rules, want the 5 of the default settings", n)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM api_keys WHERE digest = $1 OR digest = $2`, live, test); n != 0 {
			t.Error("an API key is stored in the clear")
		}
	})
}

func TestMerchantSlugs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		create := func(name, slug string) (string, error) {
			m, _, _, err := s.CreateMerchant(t.Context(), models.MerchantInput{Name: name, Slug: slug, Email: "a@example.com"})
			if err != nil {
				return "", err
			}
			return m.Slug, nil
		}
		for _, c := range []struct{ name, slug, want string }{
			{"Acme", "", "acme"},
			{"ACME!", "", "acme-2"},
			{"acme", "", "acme-3"},
			{"Other", "my-shop", "my-shop"},
			{"株式会社", "", "merchant"},
			{strings.Repeat("long ", 30), "", strings.TrimRight(strings.Repeat("long-", 30)[:48], "-")},
			{strings.Repeat("long ", 30), "", strings.TrimRight(strings.Repeat("long-", 30)[:46], "-") + "-2"},
		} {
			if got := ok(create(c.name, c.slug))(t); got != c.want {
				t.Errorf("%q got the slug %q, want %q", c.name, got, c.want)
			}
		}
		_, err := create("Second", "my-shop")
		wantCode(t, err, models.CodeConflict)
		wantFields(t, err, "slug")
		for _, bad := range []string{"-a", "a-", "A", "a_b", "a/b", strings.Repeat("a", 49), "ä"} {
			_, err := create("Bad", bad)
			wantCode(t, err, models.CodeInvalid)
			wantFields(t, err, "slug")
		}
		errs := race(8, func(int) error { _, err := create("Popular", ""); return err })
		if succeeded(errs) != 8 {
			t.Errorf("eight merchants of one name: %v", errs)
		}
	})
}

func TestCreateMerchantRefuses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range []struct {
			in     models.MerchantInput
			fields []string
		}{
			{models.MerchantInput{}, []string{"name", "email"}},
			{models.MerchantInput{Name: strings.Repeat("ä", 201), Email: "a@example.com"}, []string{"name"}},
			{models.MerchantInput{Name: "A", Email: "A <a@example.com>"}, []string{"email"}},
		} {
			_, _, _, err := s.CreateMerchant(t.Context(), c.in)
			wantCode(t, err, models.CodeInvalid)
			wantFields(t, err, c.fields...)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM merchants`); n != 0 {
			t.Errorf("%d merchants were made by refused requests", n)
		}
		for _, id := range []string{"", "mer_x", "prd_00000000000000000000000000", "mer_00000000000000000000000000", "mer_\x00", "\xff"} {
			_, err := s.Merchant(t.Context(), id)
			wantCode(t, err, models.CodeNotFound)
			_, err = s.MerchantBySlug(t.Context(), id)
			wantCode(t, err, models.CodeNotFound)
		}
	})
}

func TestSettings(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		const defaults = `{"reminders":{"online":["1h","48h"],"offline":["0s","144h","312h"]},"delete_unpaid_after":"2160h","anonymize_after":null,` +
			`"refund_approval":"auto","support_email":"","support_url":"","live":false}`
		wantMembers(t, "default settings", ok(s.Settings(t.Context(), shop.ID))(t), defaults)
		for _, c := range []struct{ patch, want string }{
			{`{}`, defaults},
			{
				`{"reminders":{"online":["2s","3s"]},"delete_unpaid_after":"5s","anonymize_after":"0s","refund_approval":"owner","support_email":"help@example.com"}`,
				`{"reminders":{"online":["2s","3s"],"offline":["0s","144h","312h"]},"delete_unpaid_after":"5s","anonymize_after":"0s",` +
					`"refund_approval":"owner","support_email":"help@example.com","support_url":"","live":false}`,
			},
			{
				`{"reminders":{"online":[],"offline":null},"support_url":"https://example.com/help","support_email":null}`,
				`{"reminders":{"online":[],"offline":["0s","144h","312h"]},"delete_unpaid_after":"5s","anonymize_after":"0s",` +
					`"refund_approval":"owner","support_email":"","support_url":"https://example.com/help","live":false}`,
			},
			{`{"reminders":null,"delete_unpaid_after":null,"anonymize_after":null,"refund_approval":null,"support_url":null}`, defaults},
		} {
			v := ok(s.UpdateSettings(t.Context(), shop.Test, decode[models.SettingsPatch](t, c.patch)))(t)
			wantMembers(t, "settings after "+c.patch, v, c.want)
			wantMembers(t, "stored settings after "+c.patch, ok(s.Settings(t.Context(), shop.ID))(t), c.want)
		}
	})
}

func TestSettingsMoveTheRules(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		ok(s.UpdateSettings(t.Context(), shop.Test, decode[models.SettingsPatch](t, `{"reminders":{"online":["2s","90s"],"offline":[]},"delete_unpaid_after":"7s"}`)))(t)
		if n := storetest.Count(t, s, `SELECT delete_unpaid_after_s FROM merchants WHERE id = $1`, shop.ID); n != 7 {
			t.Errorf("unpaid orders are deleted after %d s, want 7", n)
		}
		rules := `SELECT COUNT(*) FROM reminder_rules WHERE merchant_id = $1 AND method_class = 'online' AND (stage = 0 AND after_s = 2 OR stage = 1 AND after_s = 90)`
		if n := storetest.Count(t, s, rules, shop.ID); n != 2 {
			t.Errorf("%d of the 2 new rules are there", n)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM reminder_rules WHERE merchant_id = $1`, shop.ID); n != 2 {
			t.Errorf("%d rules in all, want 2", n)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM reminder_rules WHERE merchant_id = $1`, other.ID); n != 5 {
			t.Errorf("the other merchant has %d rules, want its 5", n)
		}
	})
}

func TestSettingsRefused(t *testing.T) {
	eleven := strings.TrimSuffix(strings.Repeat(`"1h",`, 11), ",")
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		before := toJSON(t, ok(s.Settings(t.Context(), shop.ID))(t))
		for _, c := range []struct {
			patch  string
			fields []string
		}{
			{`{"reminders":{"online":["1h","soon"]}}`, []string{"reminders.online[1]"}},
			{`{"reminders":{"online":["2h","1h"]}}`, []string{"reminders.online[1]"}},
			{`{"reminders":{"online":["1h","1h","2h"]}}`, []string{"reminders.online[1]"}},
			{`{"reminders":{"offline":["-1s"],"online":["1500ms"]}}`, []string{"reminders.offline[0]", "reminders.online[0]"}},
			{`{"reminders":{"online":[` + eleven + `]}}`, []string{"reminders.online"}},
			{`{"delete_unpaid_after":"0s"}`, []string{"delete_unpaid_after"}},
			{`{"delete_unpaid_after":""}`, []string{"delete_unpaid_after"}},
			{`{"delete_unpaid_after":"-2h"}`, []string{"delete_unpaid_after"}},
			{`{"delete_unpaid_after":"9999999h"}`, []string{"delete_unpaid_after"}},
			{`{"delete_unpaid_after":"90 days","anonymize_after":"x"}`, []string{"delete_unpaid_after", "anonymize_after"}},
			{`{"refund_approval":"nobody","support_email":"x","support_url":"ftp://x","live":null}`, []string{"refund_approval", "support_email", "support_url", "live"}},
		} {
			_, err := s.UpdateSettings(t.Context(), shop.Test, decode[models.SettingsPatch](t, c.patch))
			wantCode(t, err, models.CodeInvalid)
			wantFields(t, err, c.fields...)
		}
		if after := toJSON(t, ok(s.Settings(t.Context(), shop.ID))(t)); after != before {
			t.Errorf("refused patches changed the settings to %s", after)
		}
		_, err := s.UpdateSettings(t.Context(), models.Scope{MerchantID: "mer_00000000000000000000000000"}, models.SettingsPatch{})
		wantCode(t, err, models.CodeNotFound)
	})
}

func TestGoingLiveClosesTheSharedPartsToTestKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		if v := ok(s.UpdateSettings(t.Context(), shop.Test, models.SettingsPatch{Live: models.Some(true)}))(t); !v.Live {
			t.Fatal("the merchant is not live")
		}
		writes := []struct {
			what string
			do   func(models.Scope) error
		}{
			{"settings", func(sc models.Scope) error {
				_, err := s.UpdateSettings(t.Context(), sc, models.SettingsPatch{RefundApproval: models.Some("owner")})
				return err
			}},
			{"new product", func(sc models.Scope) error {
				_, err := s.CreateProduct(t.Context(), sc, storetest.ProductInput(fmt.Sprintf("p-%t", sc.Test), models.MethodPool))
				return err
			}},
			{"change of a product", func(sc models.Scope) error {
				_, err := s.UpdateProduct(t.Context(), sc, p.ID, models.ProductPatch{Name: models.Some("New")})
				return err
			}},
			{"archiving", func(sc models.Scope) error { _, err := s.ArchiveProduct(t.Context(), sc, p.ID); return err }},
		}
		for _, write := range writes {
			if err := write.do(shop.Test); models.CodeOf(err) != models.CodeForbidden {
				t.Errorf("%s with a test key: %v, want forbidden", write.what, err)
			}
		}
		if v := ok(s.Product(t.Context(), shop.Test, p.ID))(t); v.Name != p.Name || v.ArchivedAt != nil {
			t.Errorf("a test key changed the product: %+v", v)
		}
		for _, write := range writes {
			if err := write.do(shop.Live); err != nil {
				t.Errorf("%s with a live key: %v", write.what, err)
			}
		}
		storetest.Product(t, s, other.Test, "editor", models.MethodPool) // the other merchant is still in test mode
	})
}
