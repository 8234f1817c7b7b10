package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// requestExamples are bodies that are more telling than one made of the fields' own examples.
var requestExamples = map[string]string{
	"createOrder": `{"currency":"EUR","locale":"en","external_id":"cart-991",
		"customer":{"email":"ada@example.com","first_name":"Ada","last_name":"Byron","type":"individual","country":"GB"},
		"items":[{"product":"editor-pro","quantity":2}],"payment_method":"card","consents":{"terms":true,"personal_data":true},
		"return_url":"https://shop.example/thanks","metadata":{"campaign":"x"}}`,
	"createPayment":         `{"method":"card","card":{"number":"4242424242424242","exp_month":12,"exp_year":2030,"cvc":"123"}}`,
	"createPaymentMethod":   `{"method":"bank_transfer","gateway":"bank_transfer","currencies":["EUR"],"config":{"account_holder":"Analytical Engines Ltd","iban":"DE89370400440532013000","bic":"COBADEFFXXX","bank_name":"Commerzbank"}}`,
	"updatePaymentMethod":   `{"currencies":["EUR","CHF"],"config":{"bank_name":null},"position":1}`,
	"createCoupon":          `{"code":"SPRING","name":"Spring sale","percent_bp":1000,"max_uses":100}`,
	"updateCoupon":          `{"max_uses":200,"ends_at":null}`,
	"createCheckoutLink":    `{"currency":"EUR","items":[{"product":"editor-pro","quantity":1,"name":"Editor Pro for Ada","unit_price":4400}],"customer":{"email":"ada@example.com"},"single_use":true}`,
	"createOffer":           `{"kind":"addon","trigger":"editor-pro","product":"viewer","percent_bp":2000,"title":"Open everything"}`,
	"updateOffer":           `{"title":"Open everything","active":false}`,
	"updateProduct":         `{"name":"Editor Pro 2","prices":[{"currency":"EUR","amount":5900},{"currency":"USD","amount":6400}],"license":{"email_text":null}}`,
	"updateSettings":        `{"reminders":{"online":["1h","48h"]},"delete_unpaid_after":"720h","support_email":"help@shop.example"}`,
	"updateWebhookEndpoint": `{"events":["payment.succeeded","product.*"],"description":null}`,
}

// commonExamples are the values of fields that have no example of their own, by name.
var commonExamples = map[string]any{
	"currency": "EUR", "locale": "en", "country": "GB", "email": "ada@example.com", "first_name": "Ada", "last_name": "Byron",
	"name": "Editor Pro", "sku": "editor-pro", "product": "prd_06f0s8nb5xq7v2k1t9w3c4d5ea", "quantity": 2, "unit_price": 4900, "amount": 9800,
	"subtotal": 9800, "total": 9800, "number": "A0000000123", "key": "EDIT-7QK4M-9XHTR-2VPNB-W6CZD", "test": true, "method": "card",
	"license_method": "template", "gateway": "test", "payment_method": "card", "external_id": "cart-991", "type": "payment.succeeded",
	"fulfillment_status": "delivered", "actor": "api_key:key_06f0s8nb5xq7v2k1t9w3c4d5ea", "kind": "order.created", "summary": "The order was created.",
	"company": "", "vat_number": "", "city": "", "zip": "", "address": "", "phone": "", "next_cursor": nil,
	"payment_url": "https://purser.example/pay/TOKEN", "order_url": "https://purser.example/order/TOKEN", "url": "https://shop.example/hooks",
}

// statusExamples are the values of status by the schema that it is in.
var statusExamples = map[string]string{"Order": "paid", "Payment": "succeeded", "License": "active", "Delivery": "succeeded", "DeliveryDetail": "succeeded"}

// idPrefixes are the kinds of ids by the schema that they are in.
var idPrefixes = map[string]string{
	"Order": "ord", "Item": "itm", "License": "lic", "Payment": "pay", "Product": "prd", "Event": "evt", "Delivery": "dlv", "DeliveryDetail": "dlv",
	"LicenseFound": "lic", "WebhookEndpoint": "whe", "PaymentMethod": "pmt", "CheckoutLink": "lnk", "Coupon": "cpn", "Offer": "ofr",
}

// addExamples gives every body in the document an example.
func addExamples(o *huma.OpenAPI) error {
	for i := range routes {
		op := operationOf(o, &routes[i])
		sample := sampler{o: o}
		if op.RequestBody != nil {
			if media := op.RequestBody.Content[jsonType]; media != nil && media.Schema != nil {
				if text, ok := requestExamples[routes[i].id]; ok {
					var compacted bytes.Buffer
					if err := json.Compact(&compacted, []byte(text)); err != nil {
						return err
					}
					media.Example = json.RawMessage(compacted.Bytes())
				} else if media.Example == nil {
					media.Example = sample.of(media.Schema, "")
				}
			}
		}
		if media := answerMedia(op, &routes[i]); media != nil && media.Schema != nil && media.Example == nil {
			media.Example = sample.of(media.Schema, "")
		}
	}
	return nil
}

// sampler makes values of schemas.
type sampler struct {
	o      *huma.OpenAPI
	inside []string // the schemas that the value is in
}

func (s *sampler) of(schema *huma.Schema, name string) any {
	if len(schema.Examples) > 0 {
		return schema.Examples[0]
	}
	if schema.Ref != "" {
		return s.object(schema.Ref)
	}
	if prefix, ok := idPrefixes[s.within()]; ok && name == "id" {
		return prefix + "_06f0s8nb5xq7v2k1t9w3c4d5ea"
	}
	if status, ok := statusExamples[s.within()]; ok && name == "status" {
		return status
	}
	if v, ok := commonExamples[name]; ok && (len(schema.Enum) == 0 || slices.Contains(schema.Enum, v)) {
		return v
	}
	switch {
	case schema.Default != nil:
		return schema.Default
	case len(schema.Enum) > 0:
		return schema.Enum[0]
	case schema.Nullable:
		return nil
	}
	switch schema.Type {
	case huma.TypeArray:
		if schema.Items == nil {
			return []any{}
		}
		return []any{s.of(schema.Items, "")}
	case huma.TypeObject:
		return s.members(schema, nil)
	case huma.TypeInteger, huma.TypeNumber:
		if schema.Minimum != nil {
			return *schema.Minimum
		}
		return 0
	case huma.TypeBoolean:
		return false
	}
	if schema.Format == "date-time" {
		return "2026-01-31T12:00:00Z"
	}
	return ""
}

// within names the schema whose member is being sampled.
func (s *sampler) within() string {
	if len(s.inside) == 0 {
		return ""
	}
	ref := s.inside[len(s.inside)-1]
	return ref[strings.LastIndexByte(ref, '/')+1:]
}

func (s *sampler) object(ref string) any {
	if slices.Contains(s.inside, ref) {
		return nil
	}
	s.inside = append(s.inside, ref)
	defer func() { s.inside = s.inside[:len(s.inside)-1] }()
	return s.members(s.o.Components.Schemas.SchemaFromRef(ref), s.o.Components.Schemas.TypeFromRef(ref))
}

// members samples an object, in the order of the Go type's fields where there is one.
func (s *sampler) members(schema *huma.Schema, t reflect.Type) any {
	out := orderedObject{}
	for _, name := range memberNames(schema, t) {
		out = append(out, member{name, s.of(schema.Properties[name], name)})
	}
	return out
}

func memberNames(schema *huma.Schema, t reflect.Type) []string {
	position := map[string]int{}
	if t != nil && t.Kind() == reflect.Struct {
		for i, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			position[name] = i + 1
		}
	}
	var names []string
	for name := range schema.Properties {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(position[a], position[b]), cmp.Compare(a, b)) })
	return names
}

type member struct {
	name  string
	value any
}

// orderedObject is an object whose members are written in their order.
type orderedObject []member

// MarshalJSON implements json.Marshaler.
func (o orderedObject) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.WriteString(strconv.Quote(m.name) + ":")
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
