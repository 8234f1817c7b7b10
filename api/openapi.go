package api

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

const apiKeyScheme = "api_key"

// tags group the operations in the documentation, in this order.
var tags = []*huma.Tag{
	{Name: "Orders", Description: "What a customer wants to buy or has bought. A storefront creates an order and sends its customer to `payment_url`."},
	{Name: "Payments", Description: "Attempts to pay an order. The test gateway takes cards with a test key."},
	{Name: "Products", Description: "The catalogue, which test and live mode share, and the licence keys of its pools, which they do not."},
	{Name: "Checkout", Description: "Links to the hosted checkout. `/buy/{product id}` and `/buy/{merchant slug}/{sku}` need no signature: they take `quantity`, `currency`, `coupon`, `locale`, `clear`, " +
		"`add=sku:quantity,…`, the customer's fields, `ref`, `utm_…` and `metadata[…]`, and never a price. A signed link may carry its own."},
	{Name: "Discounts", Description: "Coupons and special offers. Test and live mode share them; how often a coupon was used is counted for each."},
	{Name: "Licenses", Description: "Licences that were produced for orders."},
	{Name: "Settings", Description: "The merchant's own settings, which test and live mode share."},
	{Name: "Webhooks", Description: "Addresses of the merchant's that are told of events, signed by the Standard Webhooks specification, and what became of each delivery."},
	{Name: "Events", Description: "What happened, in the words that webhooks use."},
}

const introduction = `Purser takes an order, takes the money, produces the licence, delivers it and tells the merchant by webhook.

**Keys.** Every request carries ` + "`Authorization: Bearer psk_…`" + `. A test key makes and sees test orders only, a live key live ones only.

**Values.** Money is an integer in minor units beside a currency (ISO 4217). Times are RFC 3339 in UTC. Ids carry the name of their kind and sort by time. Fields that are not known here are refused.

**Lists** take ` + "`limit` and `cursor`" + ` and come newest first; ` + "`next_cursor`" + ` is null on the last page.

**Repeating a request.** Every POST may carry an ` + "`Idempotency-Key`" + `. The same key with the same body gets the stored answer for 24 hours, with ` + "`Idempotent-Replayed: true`" + `.

**Errors** are ` + "`application/problem+json`" + ` with a stable ` + "`code`" + ` and, for input, the fields that are wrong.`

// enums are the values of fields of answers whose Go types do not tell Huma.
var enums = map[string]map[string][]any{
	"Order": {
		"status":             values(models.OrderNotPaid, models.OrderPaid, models.OrderDeleted, models.OrderTerminated),
		"fulfillment_status": values(models.NotDelivered, models.PartiallyDelivered, models.Delivered),
		"delete_reason":      values(models.DeletedExpired, models.DeletedCancelled),
		"refund_status":      values("partial", "full"),
	},
	"Item":    {"fulfillment_status": values(models.NotDelivered, models.PartiallyDelivered, models.Delivered, models.FulfillmentFailed)},
	"License": {"status": values(models.LicenseActive, models.LicenseRevoked)},
	"Payment": {"status": values(models.PaymentPending, models.PaymentRequiresAction, models.PaymentProcessing, models.PaymentSucceeded,
		models.PaymentFailed, models.PaymentCancelled)},
	"Problem": {"code": problemCodes()},
}

func values[T ~string](of ...T) []any {
	out := make([]any, len(of))
	for i, v := range of {
		out[i] = string(v)
	}
	return out
}

func problemCodes() []any {
	var out []any
	for _, k := range problemKinds {
		out = append(out, string(k.Code))
	}
	return out
}

// addEnums writes enums into the document.
func addEnums(o *huma.OpenAPI) error {
	for schema, fields := range enums {
		for field, of := range fields {
			s := o.Components.Schemas.Map()[schema]
			if s == nil || s.Properties[field] == nil {
				return fmt.Errorf("%s.%s is in no schema", schema, field)
			}
			p := s.Properties[field]
			if p.Enum = of; p.Nullable {
				p.Enum = append(slices.Clone(of), nil)
			}
			p.PrecomputeMessages()
		}
	}
	return nil
}

func (s *Server) humaConfig() huma.Config {
	// Not huma.DefaultConfig: it adds $schema to every body, and pages that load scripts from elsewhere.
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "Purser API", Version: s.Version, Description: introduction},
			Servers: []*huma.Server{{URL: s.public}},
			Tags:    tags,
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					apiKeyScheme: {Type: "http", Scheme: "bearer", Description: "An API key: psk_live_… or psk_test_…"},
				},
			},
			Security: []map[string][]string{{apiKeyScheme: {}}},
		},
		Formats:                      map[string]huma.Format{jsonType: jsonFormat, problemType: jsonFormat},
		DefaultFormat:                jsonType,
		RejectUnknownQueryParameters: true,
		Transformers: []huma.Transformer{func(ctx huma.Context, _ string, v any) (any, error) {
			if p, ok := v.(*Problem); ok {
				return s.finish(p, requestIn(ctx.Context())), nil
			}
			return v, nil
		}},
	}
}

// describe is a route in Huma's words.
func (s *Server) describe(r *route) huma.Operation {
	op := huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Summary: r.summary, Description: descriptions[r.id], Tags: []string{r.tag},
		DefaultStatus: r.status,
		MaxBodyBytes:  -1, // readBody has bounded it already
		Errors:        []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable},
	}
	if r.method != get {
		op.Errors = append(op.Errors, http.StatusConflict)
	}
	if r.method == post {
		op.Parameters = []*huma.Param{{
			Name: idempotencyHeader, In: "header", Description: "Makes repeating the request safe; unique to it, at most 255 printable characters.",
			Schema: &huma.Schema{Type: huma.TypeString, MaxLength: new(255)}, Example: "cart-991-order",
		}}
	}
	if r.method == post || r.method == patch {
		op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if routerPath(r.path) != r.path {
		op.Errors = append(op.Errors, http.StatusNotFound)
	}
	return op
}

func (s *Server) openAPIDocument(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentType, jsonType)
	c.Set(fiber.HeaderCacheControl, "public, max-age=300")
	return c.Send(s.document)
}

// schemaName names a schema for its Go type, without the View that tells the outside's form of a thing from the database's.
func schemaName(t reflect.Type, hint string) string {
	return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "View")
}
