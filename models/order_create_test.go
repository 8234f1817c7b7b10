package models_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// priced makes a product with a price in each of the currencies given.
func priced(t *testing.T, s *models.Store, sc models.Scope, sku string, prices map[string]int64) *models.ProductView {
	t.Helper()
	in := storetest.ProductInput(sku, models.MethodTemplate)
	in.Prices = nil
	for currency, amount := range prices {
		in.Prices = append(in.Prices, models.PriceView{Currency: currency, Amount: amount})
	}
	return ok(s.CreateProduct(t.Context(), sc, in))(t)
}

func TestCreateOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		editor := priced(t, s, shop.Test, "editor", map[string]int64{"EUR": 4900, "JPY": 7000})
		viewer := priced(t, s, shop.Test, "viewer", map[string]int64{"EUR": 1})
		in := storetest.OrderInput(editor.ID, 3) // by id, and by SKU
		in.Lines = append(in.Lines, models.NewLine{Product: "viewer", Quantity: 1000}, models.NewLine{Product: "editor", Quantity: 1})
		in.Customer.Email, in.Customer.Country = "  Ada@Example.COM ", "gb"
		in.ExternalID, in.ReturnURL, in.Metadata = "cart-991", "https://shop.example/thanks?x=1", map[string]string{"campaign": "ünï"}
		in.Locale, in.Consents.Address, in.Consents.Via = "de-AT", "192.0.2.7", "checkout"
		before := time.Now().Add(-time.Second)
		o := ok(s.CreateOrder(t.Context(), shop.Test, in))(t)

		if o.Subtotal != 3*4900+1000+4900 || o.Total != o.Subtotal || o.Discount != 0 || o.Tax != 0 || o.Currency != "EUR" || o.AmountRefunded != 0 {
			t.Errorf("sums %s", toJSON(t, o))
		}
		if o.Status != models.OrderNotPaid || o.FulfillmentStatus != models.NotDelivered || o.RefundStatus != nil || o.DeleteReason != nil ||
			o.PaidAt != nil || o.DeliveredAt != nil || o.DeletedAt != nil || !o.Test || len(o.Payments) != 0 || o.CreatedAt.Before(before) {
			t.Errorf("order %s", toJSON(t, o))
		}
		if o.Customer.Email != "Ada@Example.COM" || o.Customer.Country != "GB" || o.Customer.Type != "individual" || *o.ExternalID != "cart-991" ||
			*o.ReturnURL != in.ReturnURL || !maps.Equal(o.Metadata, in.Metadata) || o.Locale != "de-AT" || *o.PaymentMethod != "card" || o.Coupon != nil {
			t.Errorf("order %s", toJSON(t, o))
		}
		if !strings.HasPrefix(o.ID, "ord_") || o.Number != "A0000000001" || !strings.HasPrefix(o.PaymentURL, storetest.PublicURL+"/pay/") || !strings.HasPrefix(o.OrderURL, storetest.PublicURL+"/order/") {
			t.Errorf("names %s %s %s %s", o.ID, o.Number, o.PaymentURL, o.OrderURL)
		}
		if token := strings.TrimPrefix(o.OrderURL, storetest.PublicURL+"/order/"); len(token) != 32 {
			t.Errorf("the token %q does not have 192 bits", token)
		}
		for i, want := range []struct {
			product, sku string
			quantity     int
			unit, total  int64
		}{{editor.ID, "editor", 3, 4900, 14700}, {viewer.ID, "viewer", 1000, 1, 1000}, {editor.ID, "editor", 1, 4900, 4900}} {
			got := o.Items[i]
			if got.Product != want.product || got.SKU != want.sku || got.Name != "Editor Pro" || got.Quantity != want.quantity || got.UnitPrice != want.unit ||
				got.Total != want.total || got.LicenseMethod != models.MethodTemplate || got.FulfillmentStatus != models.NotDelivered || len(got.Licenses) != 0 {
				t.Errorf("item %d: %s", i, toJSON(t, got))
			}
		}
		if got := ok(s.Order(t.Context(), shop.Test, o.ID))(t); toJSON(t, got) != toJSON(t, o) {
			t.Errorf("stored %s\nanswered %s", toJSON(t, got), toJSON(t, o))
		}
		if got := texts(t, s, `SELECT consents FROM orders`); !strings.Contains(got[0], `"address":"192.0.2.7"`) || !strings.Contains(got[0], `"locale":"de-AT"`) || !strings.Contains(got[0], `"via":"checkout"`) {
			t.Errorf("the evidence of the consents is %s", got)
		}
		if n := len(storetest.Jobs(t, s, "")); n != 0 || emailsOf(t, s, shop, models.EmailPending) != "" {
			t.Errorf("an unpaid order causes %d jobs", n)
		}
		if got := eventsOf(t, s, shop); got != models.EventOrderCreated {
			t.Errorf("events %q", got)
		}
		if got := eventData(t, s, shop, models.EventOrderCreated)[0]; got != toJSON(t, o) {
			t.Errorf("the event has %s", got)
		}

		in.Currency, in.Lines = "JPY", in.Lines[:1]
		second := ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
		if second.Total != 21000 || second.Number != "A0000000002" || second.OrderURL == o.OrderURL {
			t.Errorf("order %s", toJSON(t, second))
		}
		healthy(t, s)
	})
}

// An order keeps the name, the price and the licence choice that it was made with.
func TestAnOrderKeepsWhatItWasMadeWith(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.Order(t, s, shop.Test, "editor", 2)
		ok(s.UpdateProduct(t.Context(), shop.Test, "editor", decode[models.ProductPatch](t,
			`{"sku":"renamed","name":"Renamed","license_per":"item","prices":[{"currency":"EUR","amount":1}]}`)))(t)
		got := ok(s.Order(t.Context(), shop.Test, o.ID))(t)
		if toJSON(t, got) != toJSON(t, o) {
			t.Errorf("the order has changed from %s to %s", toJSON(t, o), toJSON(t, got))
		}
		storetest.Pay(t, s, shop.Test, o.ID)
		performAll(t, s)
		if n := len(keysOf(ok(s.Order(t.Context(), shop.Test, o.ID))(t))); n != 2 {
			t.Errorf("%d licences, want one per unit, as the order was made", n)
		}
	})
}

func TestAnOrderThatCostsNothingIsPaidAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		priced(t, s, shop.Test, "free", map[string]int64{"EUR": 0})
		in := storetest.OrderInput("free", 2)
		in.PaymentMethod = ""
		o := ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
		if o.Total != 0 || o.Status != models.OrderPaid || o.PaidAt == nil || len(o.Payments) != 0 || o.PaymentMethod != nil {
			t.Errorf("order %s", toJSON(t, o))
		}
		// Nobody paid, so no payment is told of; the customer still gets the confirmation.
		if got := eventsOf(t, s, shop); got != models.EventOrderCreated {
			t.Errorf("events %q", got)
		}
		if got := eventData(t, s, shop, models.EventOrderCreated)[0]; !strings.Contains(got, `"status":"not_paid"`) {
			t.Errorf("the order was created as %s", got)
		}
		if got := emailsOf(t, s, shop, models.EmailPending); got != "payment_confirmation" {
			t.Errorf("emails %q", got)
		}
		_, err := s.BeginPayment(t.Context(), shop.Test, o.ID, models.NewPayment{Method: "card", Gateway: "test", Class: "online", Actor: "test"})
		wantCode(t, err, models.CodeConflict)
		performAll(t, s)
		if got := ok(s.Order(t.Context(), shop.Test, o.ID))(t); got.FulfillmentStatus != models.Delivered || len(keysOf(got)) != 2 {
			t.Errorf("the order is %s", got.FulfillmentStatus)
		}
		healthy(t, s)
	})
}

// Everything that is wrong is named at once, and nothing of it is recorded.
func TestCreateOrderRefused(t *testing.T) {
	long := func(n int) string { return strings.Repeat("ä", n) }
	cases := []struct {
		name   string
		change func(*models.NewOrder)
		fields []string
	}{
		{"no currency", func(o *models.NewOrder) { o.Currency = "" }, []string{"currency"}},
		{"a currency in small letters", func(o *models.NewOrder) { o.Currency = "eur" }, []string{"currency"}},
		{"a currency that there is not", func(o *models.NewOrder) { o.Currency = "QQQ" }, []string{"currency"}},
		{"a currency with a control character", func(o *models.NewOrder) { o.Currency = "EU\x00" }, []string{"currency"}},
		{"a currency without a price", func(o *models.NewOrder) { o.Currency = "USD" }, []string{"items[0].product"}},
		{"a locale that is none", func(o *models.NewOrder) { o.Locale = "not a locale" }, []string{"locale"}},
		{"a locale that never ends", func(o *models.NewOrder) { o.Locale = "en" + strings.Repeat("-x-aaaaaaaa", 100) }, []string{"locale"}},
		{"no email", func(o *models.NewOrder) { o.Customer.Email = " " }, []string{"customer.email"}},
		{"an email without a host", func(o *models.NewOrder) { o.Customer.Email = "ada" }, []string{"customer.email"}},
		{"an email with a name", func(o *models.NewOrder) { o.Customer.Email = "Ada <ada@example.com>" }, []string{"customer.email"}},
		{"two emails", func(o *models.NewOrder) { o.Customer.Email = "a@example.com,b@example.com" }, []string{"customer.email"}},
		{"an email with a header", func(o *models.NewOrder) { o.Customer.Email = "a@example.com\r\nBcc: b@example.com" }, []string{"customer.email"}},
		{"an email with a NUL", func(o *models.NewOrder) { o.Customer.Email = "\"a\x00\"@example.com" }, []string{"customer.email"}},
		{"an email that is not UTF-8", func(o *models.NewOrder) { o.Customer.Email = "a\xff@example.com" }, []string{"customer.email"}},
		{"an email that is too long", func(o *models.NewOrder) { o.Customer.Email = strings.Repeat("a", 250) + "@b.example" }, []string{"customer.email"}},
		{"a code that is no country", func(o *models.NewOrder) { o.Customer.Country = "XX" }, []string{"customer.country"}},
		{"a country that is no code", func(o *models.NewOrder) { o.Customer.Country = "GBR" }, []string{"customer.country"}},
		{"a type that there is not", func(o *models.NewOrder) { o.Customer.Type = "person" }, []string{"customer.type"}},
		{"texts that are too long", func(o *models.NewOrder) {
			o.Customer.FirstName, o.Customer.LastName, o.Customer.Company, o.Customer.VATNumber = long(101), long(101), long(201), long(51)
			o.Customer.City, o.Customer.Zip, o.Customer.Address, o.Customer.Phone = long(101), long(21), long(301), long(51)
			o.ExternalID, o.PaymentMethod = long(201), long(51)
		}, []string{
			"customer.first_name", "customer.last_name", "customer.company", "customer.vat_number", "customer.city", "customer.zip", "customer.address",
			"customer.phone", "external_id", "payment_method",
		}},
		{"control characters", func(o *models.NewOrder) {
			o.Customer.FirstName, o.ExternalID, o.PaymentMethod = "A\x00da", "\x1b[31m", "ca\x7frd"
		}, []string{"customer.first_name", "external_id", "payment_method"}},
		{"text that is not UTF-8", func(o *models.NewOrder) { o.Customer.LastName, o.ExternalID = "\xff", "a\xc3" }, []string{"customer.last_name", "external_id"}},
		{"no consents", func(o *models.NewOrder) { o.Consents = models.Consents{} }, []string{"consents.terms", "consents.personal_data"}},
		{"one consent", func(o *models.NewOrder) { o.Consents.Terms = false }, []string{"consents.terms"}},
		{"a return address that is none", func(o *models.NewOrder) { o.ReturnURL = "javascript:alert(1)" }, []string{"return_url"}},
		{"a return address without a host", func(o *models.NewOrder) { o.ReturnURL = "https:///thanks" }, []string{"return_url"}},
		{"a return address that is not UTF-8", func(o *models.NewOrder) { o.ReturnURL = "https://shop.example/\xff" }, []string{"return_url"}},
		{"a return address that is too long", func(o *models.NewOrder) { o.ReturnURL = "https://shop.example/" + strings.Repeat("x", 2048) }, []string{"return_url"}},
		{"too much metadata", func(o *models.NewOrder) {
			o.Metadata = map[string]string{}
			for i := range 51 {
				o.Metadata[fmt.Sprint(i)] = ""
			}
		}, []string{"metadata"}},
		{"a metadata value that is too long", func(o *models.NewOrder) { o.Metadata = map[string]string{"k": long(501)} }, []string{"metadata.k"}},
		{"a metadata value with a NUL", func(o *models.NewOrder) { o.Metadata = map[string]string{"k": "\x00"} }, []string{"metadata.k"}},
		{"a metadata name that is empty", func(o *models.NewOrder) { o.Metadata = map[string]string{"": "v"} }, []string{"metadata"}},
		{"a metadata name that is not UTF-8", func(o *models.NewOrder) { o.Metadata = map[string]string{"\xff": "v"} }, []string{"metadata"}},
		{"no items", func(o *models.NewOrder) { o.Lines = nil }, []string{"items"}},
		{"too many items", func(o *models.NewOrder) {
			for range 100 {
				o.Lines = append(o.Lines, o.Lines[0])
			}
		}, []string{"items"}},
		{"a product that there is not", func(o *models.NewOrder) { o.Lines[0].Product = "nothing" }, []string{"items[0].product"}},
		{"a product without a name", func(o *models.NewOrder) { o.Lines[0].Product = "" }, []string{"items[0].product"}},
		{"a product with a NUL", func(o *models.NewOrder) { o.Lines[0].Product = "editor\x00" }, []string{"items[0].product"}},
		{"a product that is not UTF-8", func(o *models.NewOrder) { o.Lines[0].Product = "\xff" }, []string{"items[0].product"}},
		{"another merchant's product", func(o *models.NewOrder) { o.Lines[0].Product = "theirs" }, []string{"items[0].product"}},
		{"an archived product", func(o *models.NewOrder) { o.Lines[0].Product = "archived" }, []string{"items[0].product"}},
		{"a product that is not for sale", func(o *models.NewOrder) { o.Lines[0].Product = "inactive" }, []string{"items[0].product"}},
		{"too few", func(o *models.NewOrder) { o.Lines = []models.NewLine{{Product: "pack", Quantity: 4}} }, []string{"items[0].quantity"}},
		{"too many", func(o *models.NewOrder) { o.Lines = []models.NewLine{{Product: "pack", Quantity: 11}} }, []string{"items[0].quantity"}},
		{"none", func(o *models.NewOrder) { o.Lines[0].Quantity = 0 }, []string{"items[0].quantity"}},
		{"less than none", func(o *models.NewOrder) { o.Lines[0].Quantity = -1 }, []string{"items[0].quantity"}},
		{"more than there can be", func(o *models.NewOrder) { o.Lines[0].Quantity = 1 << 40 }, []string{"items[0].quantity"}},
		{"a line that is too dear", func(o *models.NewOrder) { o.Lines = []models.NewLine{{Product: "dear", Quantity: 3}} }, []string{"items[0].quantity"}},
		{"lines that are too dear together", func(o *models.NewOrder) {
			o.Lines = []models.NewLine{{Product: "dear", Quantity: 1}, {Product: "dear", Quantity: 1}, {Product: "editor", Quantity: 1}}
		}, []string{"items[2].quantity"}},
		{"more licences than an order can have", func(o *models.NewOrder) {
			o.Lines = nil
			for range 10 {
				o.Lines = append(o.Lines, models.NewLine{Product: "editor", Quantity: 1000})
			}
			o.Lines = append(o.Lines, models.NewLine{Product: "editor", Quantity: 1})
		}, []string{"items[10].quantity"}},
		{"a coupon that there is not", func(o *models.NewOrder) { o.Coupon = "NOTHING" }, []string{"coupon"}},
		{"everything", func(o *models.NewOrder) {
			o.Currency, o.Customer.Email, o.Consents.PersonalData = "", "", false
			o.Lines = []models.NewLine{{Product: "nothing", Quantity: 1}, {Product: "inactive", Quantity: 1}}
		}, []string{"currency", "customer.email", "consents.personal_data", "items[0].product", "items[1].product"}},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.Product(t, s, other.Test, "theirs", models.MethodTemplate)
		storetest.Product(t, s, shop.Test, "archived", models.MethodTemplate)
		ok(s.ArchiveProduct(t.Context(), shop.Test, "archived"))(t)
		inactive, least, most := storetest.ProductInput("inactive", models.MethodTemplate), 5, 10
		inactive.Active = new(bool)
		ok(s.CreateProduct(t.Context(), shop.Test, inactive))(t)
		pack := storetest.ProductInput("pack", models.MethodTemplate)
		pack.MinQuantity, pack.MaxQuantity = &least, &most
		ok(s.CreateProduct(t.Context(), shop.Test, pack))(t)
		priced(t, s, shop.Test, "dear", map[string]int64{"EUR": models.MaxAmount / 2})
		endpoint(t, s, shop.Test)
		p := publishing(s)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				in := storetest.OrderInput("editor", 1)
				c.change(&in)
				view, err := s.CreateOrder(t.Context(), shop.Test, in)
				if err == nil {
					t.Fatalf("accepted: %s", toJSON(t, view))
				}
				wantCode(t, err, models.CodeInvalid)
				wantFields(t, err, c.fields...)
			})
		}
		for _, table := range []string{"orders", "items", "events", "deliveries", "jobs", "history"} {
			if n := storetest.Count(t, s, `SELECT COUNT(*) FROM `+table); n != 0 {
				t.Errorf("what was refused left %d rows in %s", n, table)
			}
		}
		if got := p.taken(); len(got) != 0 {
			t.Errorf("what was refused handed over %+v", got)
		}
	})
}

func TestTheLargestOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		priced(t, s, shop.Test, "dear", map[string]int64{"EUR": models.MaxAmount})
		if o := storetest.Order(t, s, shop.Test, "dear", 1); o.Total != models.MaxAmount {
			t.Errorf("the order is for %d", o.Total)
		}
		// Of what is licensed as a whole, the quantity makes no licences.
		site := storetest.ProductInput("site", models.MethodTemplate)
		site.LicensePer = "item"
		ok(s.CreateProduct(t.Context(), shop.Test, site))(t)
		in := storetest.OrderInput("site", 1000)
		for range 20 {
			in.Lines = append(in.Lines, in.Lines[0])
		}
		ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
		healthy(t, s)
	})
}

// A product whose licences are made up is for sale in test mode only, and the other way round nothing is.
func TestEmulatedLicencesAreForTestOrdersOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "toy", models.MethodEmulator)
		storetest.Order(t, s, shop.Test, "toy", 1)
		_, err := s.CreateOrder(t.Context(), shop.Live, storetest.OrderInput("toy", 1))
		wantCode(t, err, models.CodeInvalid)
		wantFields(t, err, "items[0].product")
	})
}

// Each merchant's endpoints are told of its own events in their own mode, of what they are subscribed to, once.
func TestWhoIsToldOfAnOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.Product(t, s, other.Test, "editor", models.MethodTemplate)
		told := map[string]string{}
		for events, types := range map[string]string{
			"*": "order.created payment.succeeded", "order.*": "order.created", "payment.succeeded": "payment.succeeded", "order.deleted": "", "custom.*": "",
		} {
			told[endpoint(t, s, shop.Test, events).ID] = types
		}
		gone := endpoint(t, s, shop.Test)
		if err := s.DeleteWebhookEndpoint(t.Context(), shop.Test, gone.ID); err != nil {
			t.Fatal(err)
		}
		off := endpoint(t, s, shop.Test)
		storetest.Exec(t, s, `UPDATE webhook_endpoints SET status = 'disabled' WHERE id = $1`, off.ID)
		for _, id := range []string{gone.ID, off.ID, endpoint(t, s, shop.Live).ID, endpoint(t, s, other.Test).ID, endpoint(t, s, other.Live).ID} {
			told[id] = ""
		}
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		for id, want := range told {
			got := strings.Join(texts(t, s, `SELECT e.type FROM deliveries d JOIN events e ON e.id = d.event_id WHERE d.endpoint_id = $1 ORDER BY e.type`, id), " ")
			if got != want {
				t.Errorf("an endpoint was told of %q, want %q", got, want)
			}
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM deliveries d JOIN jobs j ON j.id = d.job_id WHERE j.kind = $1 AND j.merchant_id = $2 AND d.merchant_id = j.merchant_id`,
			jobs.KindDeliver, shop.ID); n != 4 {
			t.Errorf("%d deliveries have a promise, want 4", n)
		}
		healthy(t, s)
	})
}

// What goes through Redis, and what the merchant's events and the history keep, holds neither keys nor, in the first and last, anything
// personal.
func TestNothingPersonalInJobsAndNoKeysInEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		p := publishing(s)
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		endpoint(t, s, shop.Test)
		in := storetest.OrderInput("editor", 2)
		in.Customer.Phone, in.Customer.Address, in.Customer.VATNumber, in.Metadata = "+44 PERSONAL", "PERSONAL street", "PERSONAL", map[string]string{"x": "PERSONAL"}
		in.Customer.Email = "personal@example.com"
		o := ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
		storetest.Pay(t, s, shop.Test, o.ID)
		performAll(t, s)
		view := ok(s.Order(t.Context(), shop.Test, o.ID))(t)
		if keys := keysOf(view); len(keys) != 2 || !strings.HasPrefix(keys[0], "SECRET-") {
			t.Fatalf("keys %q", keys)
		}
		kept := map[string][]string{
			"jobs":     texts(t, s, `SELECT args FROM jobs`),
			"history":  texts(t, s, `SELECT detail FROM history`),
			"failures": texts(t, s, `SELECT COALESCE(last_error, '') FROM jobs`),
			"events":   texts(t, s, `SELECT data FROM events`),
		}
		for _, h := range p.taken() {
			kept["handovers"] = append(kept["handovers"], string(h.Args))
		}
		for where, all := range kept {
			if len(all) == 0 {
				t.Errorf("there are no %s", where)
			}
			for _, text := range all {
				if strings.Contains(text, "SECRET-") {
					t.Errorf("%s hold a licence key: %s", where, text)
				}
				if where != "events" && strings.Contains(strings.ToLower(text), "personal") {
					t.Errorf("%s hold personal data: %s", where, text)
				}
			}
		}
		delivered := eventData(t, s, shop, models.EventOrderDelivered)
		masked := "****" + keysOf(view)[0][len(keysOf(view)[0])-4:]
		if len(delivered) != 1 || !strings.Contains(delivered[0], `"key":"`+masked+`"`) {
			t.Errorf("events %s, want the key %s", delivered, masked)
		}
		for _, column := range []string{"ciphertext", "fingerprint"} {
			for _, stored := range texts(t, s, `SELECT `+column+` FROM licenses`) {
				if strings.Contains(stored, "SECRET") {
					t.Errorf("a licence's %s holds its key", column)
				}
			}
		}
	})
}

func TestOrderNumbersAreUniqueUnderRaces(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		stores := []*models.Store{s, storetest.Again(t, s)}
		numbers := make([]string, 30)
		refusals(t, race(len(numbers), func(i int) error {
			o, err := stores[i%2].CreateOrder(t.Context(), shop.Test, storetest.OrderInput("editor", 1))
			if err == nil {
				numbers[i] = o.Number
			}
			return err
		}))
		seen := map[string]bool{}
		for _, n := range numbers {
			if len(n) != 11 || n[0] != 'A' || seen[n] {
				t.Errorf("the number %q is malformed or there twice", n)
			}
			seen[n] = true
		}
	})
}
