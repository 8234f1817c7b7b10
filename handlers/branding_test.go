package handlers_test

import (
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// Emails look like their merchant, from its settings at the moment of sending.
func TestEmailsAreTheMerchants(t *testing.T) {
	each(t, func(b *bench) {
		b.product("app", models.MethodTemplate, `{}`)
		b.work()
		o := storetest.Order(b, b.store, b.shop.Test, "app", 1)
		if _, err := b.store.UpdateSettings(b.Context(), b.shop.Test, models.SettingsPatch{
			SupportEmail: models.Some("help@shop.example"),
			Branding:     models.Some(models.Branding{Color: "#ffcc00", LogoURL: "https://cdn.shop.example/logo.png"}),
		}); err != nil {
			b.Fatal(err)
		}
		storetest.Pay(b, b.store, b.shop.Test, o.ID)
		b.delivered(o.ID)
		b.idle()
		sent := b.mail.taken()
		if len(sent) < 2 {
			b.Fatalf("%d emails", len(sent))
		}
		for _, m := range sent {
			for _, want := range []string{"border-top:4px solid #ffcc00", `src="https://cdn.shop.example/logo.png"`, "mailto:help@shop.example"} {
				if !strings.Contains(m.HTML, want) {
					b.Errorf("%q lacks %s", m.Subject, want)
				}
			}
		}
	})
}
