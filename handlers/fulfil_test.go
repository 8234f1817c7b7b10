package handlers_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/license"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// product makes a product of a method with settings.
func (b *bench) product(sku, method, settings string, change ...func(*models.ProductInput)) *models.ProductView {
	b.Helper()
	in := storetest.ProductInput(sku, method)
	in.License = json.RawMessage(settings)
	for _, c := range change {
		c(&in)
	}
	p, err := b.store.CreateProduct(b.Context(), b.shop.Test, in)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func TestSignedLicencesVerifyWithTheProductsPublicKey(t *testing.T) {
	each(t, func(b *bench) {
		perItem := func(in *models.ProductInput) { in.LicensePer = "item" }
		units, item := b.product("units", models.MethodSigned, `{}`), b.product("item", models.MethodSigned, `{"licensed_to":true}`, perItem)
		b.work()
		in := storetest.OrderInput("units", 2)
		in.Lines = append(in.Lines, models.NewLine{Product: "item", Quantity: 5})
		o, err := b.store.CreateOrder(b.Context(), b.shop.Test, in)
		if err != nil {
			b.Fatal(err)
		}
		storetest.Pay(b, b.store, b.shop.Test, o.ID)
		o = b.delivered(o.ID)

		want := map[string][]license.Payload{
			"units": {{Unit: 1, Quantity: 1}, {Unit: 2, Quantity: 1}},
			"item":  {{Unit: 1, Quantity: 5, LicensedTo: "Ada Byron"}},
		}
		for _, i := range o.Items {
			public := map[string]*models.ProductView{"units": units, "item": item}[i.SKU]
			other := map[string]*models.ProductView{"units": item, "item": units}[i.SKU]
			if len(i.Licenses) != len(want[i.SKU]) {
				b.Fatalf("%s has %d licences", i.SKU, len(i.Licenses))
			}
			for n, l := range i.Licenses {
				got, err := license.Verify(publicKey(b, public), l.Key)
				if err != nil {
					b.Errorf("licence %d of %s: %v", n+1, i.SKU, err)
					continue
				}
				if _, err := license.Verify(publicKey(b, other), l.Key); err == nil {
					b.Errorf("licence %d of %s verifies with another product's key", n+1, i.SKU)
				}
				expected := want[i.SKU][n]
				expected.Order, expected.OrderNumber, expected.Item, expected.Product = o.ID, o.Number, i.ID, i.Product
				expected.SKU, expected.Test, expected.IssuedAt = i.SKU, true, got.IssuedAt
				if got != expected || time.Since(got.IssuedAt) > time.Minute {
					b.Errorf("licence %d of %s says %+v, want %+v", n+1, i.SKU, got, expected)
				}
			}
		}
		b.idle()
		b.sound()
	})
}

func publicKey(b *bench, p *models.ProductView) []byte {
	b.Helper()
	var settings struct {
		PublicKey string `json:"public_key"`
	}
	if err := json.Unmarshal(p.License, &settings); err != nil {
		b.Fatal(err)
	}
	key, err := license.ParsePublicKey(settings.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func TestGeneratedLicences(t *testing.T) {
	each(t, func(b *bench) {
		const shape = "ABLE-XXXXX-XXXXX-XXXXX-XXXXC"
		pattern, err := license.ParsePattern(shape)
		if err != nil {
			b.Fatal(err)
		}
		b.product("template", models.MethodTemplate, `{"pattern":"`+shape+`"}`)
		b.product("emulator", models.MethodEmulator, `{}`)
		b.product("item", models.MethodTemplate, `{}`, func(in *models.ProductInput) { in.LicensePer = "item" })
		b.work()
		in := storetest.OrderInput("template", 3)
		in.Lines = append(in.Lines, models.NewLine{Product: "emulator", Quantity: 2}, models.NewLine{Product: "item", Quantity: 4})
		o, err := b.store.CreateOrder(b.Context(), b.shop.Test, in)
		if err != nil {
			b.Fatal(err)
		}
		storetest.Pay(b, b.store, b.shop.Test, o.ID)
		o = b.delivered(o.ID)
		seen := map[string]bool{}
		for _, i := range o.Items {
			if want := map[string]int{"template": 3, "emulator": 2, "item": 1}[i.SKU]; len(i.Licenses) != want {
				b.Errorf("%s has %d licences, want %d", i.SKU, len(i.Licenses), want)
			}
			for _, l := range i.Licenses {
				if seen[l.Key] {
					b.Errorf("a key of %s is there twice", i.SKU)
				}
				seen[l.Key] = true
				if i.SKU == "template" && !pattern.Valid(l.Key) {
					b.Errorf("%s does not have the product's pattern", l.Key)
				}
				if emulated := strings.HasPrefix(l.Key, license.EmulatorPrefix); emulated != (i.SKU == "emulator") {
					b.Errorf("%s of %s", l.Key, i.SKU)
				}
			}
		}
		b.idle()
		b.sound()
	})
}

// Settings that were changed behind the store's back, or that a newer version wrote, fail the item at once.
func TestAProductThatCannotBeLicensedFailsItsItem(t *testing.T) {
	each(t, func(b *bench) {
		b.product("broken", models.MethodTemplate, `{}`)
		b.product("good", models.MethodTemplate, `{}`)
		storetest.Exec(b, b.store, `UPDATE products SET license = $1 WHERE sku = 'broken'`, `{"patern":"XXXX"}`)
		b.work()
		in := storetest.OrderInput("broken", 1)
		in.Lines = append(in.Lines, models.NewLine{Product: "good", Quantity: 1})
		o, err := b.store.CreateOrder(b.Context(), b.shop.Test, in)
		if err != nil {
			b.Fatal(err)
		}
		storetest.Pay(b, b.store, b.shop.Test, o.ID)
		b.eventually("one item is delivered and one failed", func() bool {
			o = b.order(o.ID)
			return o.Items[0].FulfillmentStatus == models.FulfillmentFailed && o.Items[1].FulfillmentStatus == models.Delivered
		})
		if o.Items[0].Failure == nil || !strings.Contains(*o.Items[0].Failure, "license.patern") {
			b.Errorf("the failure is %v", o.Items[0].Failure)
		}
		if o.FulfillmentStatus != models.PartiallyDelivered {
			b.Errorf("the order is %s", o.FulfillmentStatus)
		}
		for _, j := range storetest.Jobs(b, b.store, jobs.KindFulfil) {
			if j.Attempts != 1 {
				b.Errorf("%d attempts at what cannot succeed", j.Attempts)
			}
		}
		b.idle()
		notices := b.emailsOf(models.EmailFulfillmentFailed, b.mail.taken())
		if len(notices) != 1 || notices[0].To != b.shop.Email || !strings.Contains(notices[0].Text, "license.patern") {
			b.Errorf("%d notices to the merchant: %v", len(notices), notices)
		}
		b.sound()

		storetest.Exec(b, b.store, `UPDATE products SET license = $1 WHERE sku = 'broken'`, `{}`)
		if _, err := b.store.RetryItem(b.Context(), b.shop.Test, o.ID, o.Items[0].ID, "staff:test"); err != nil {
			b.Fatal(err)
		}
		b.delivered(o.ID)
		b.idle()
		b.sound()
	})
}

// An emulated licence never reaches a live order, whatever else went wrong before.
func TestEmulatedLicencesAreForTestOrdersOnly(t *testing.T) {
	each(t, func(b *bench) {
		b.product("emulator", models.MethodEmulator, `{}`)
		o := storetest.Order(b, b.store, b.shop.Test, "emulator", 1)
		for _, table := range []string{"orders", "items"} {
			storetest.Exec(b, b.store, `UPDATE `+table+` SET test = $1`, false)
		}
		storetest.Pay(b, b.store, b.shop.Live, o.ID)
		b.work()
		j := b.jobIn(b.job(jobs.KindFulfil).ID, models.JobDead)
		if j.LastError == nil || !strings.Contains(*j.LastError, "test orders only") {
			b.Errorf("it died of %v", j.LastError)
		}
		if n := storetest.Count(b, b.store, `SELECT COUNT(*) FROM licenses`); n != 0 {
			b.Errorf("%d licences were made", n)
		}
	})
}
