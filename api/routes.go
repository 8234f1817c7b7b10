package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
)

const (
	get    = http.MethodGet
	post   = http.MethodPost
	patch  = http.MethodPatch
	remove = http.MethodDelete
)

// A route is one operation of the JSON API. All of them need an API key.
type route struct {
	method, path string
	id           string // operation id
	status       int    // of a success
	effect       effect
	body         int // limit of the request body in bytes; 0 is smallBody
	tag, summary string
	do           operation
}

// An effect says how an operation is kept from happening twice for one idempotency key.
type effect int

const (
	// once: the whole operation and its stored answer are one transaction. The rule for every POST.
	once effect = iota
	// staged: the operation talks to somebody else or needs several transactions, each of them safe to repeat. Its answer is
	// stored afterwards.
	staged
	// plain: not a POST; an idempotency key means nothing.
	plain
)

// The limits of request bodies.
const (
	smallBody = 256 << 10
	largeBody = 8 << 20
)

// routes is every operation of the JSON API.
var routes = []route{
	{post, "/v1/orders", "createOrder", 201, once, 0, "Orders", "Create an order", does((*Server).createOrder)},
	{get, "/v1/orders", "listOrders", 200, plain, 0, "Orders", "List orders", does((*Server).listOrders)},
	{get, "/v1/orders/{id}", "getOrder", 200, plain, 0, "Orders", "Get an order", does((*Server).getOrder)},
	{get, "/v1/orders/{id}/timeline", "getOrderTimeline", 200, plain, 0, "Orders", "Get everything that happened to an order", does((*Server).getOrderTimeline)},
	{post, "/v1/orders/{id}/cancel", "cancelOrder", 200, once, 0, "Orders", "Cancel an unpaid order", does((*Server).cancelOrder)},
	{post, "/v1/orders/{id}/items/{item}/retry", "retryItem", 200, once, 0, "Orders", "Retry a failed item", does((*Server).retryItem)},
	{post, "/v1/orders/{id}/payments", "createPayment", 201, staged, 0, "Payments", "Pay an order", does((*Server).createPayment)},
	{post, "/v1/orders/{id}/mark-paid", "markOrderPaid", 200, once, 0, "Payments", "Record offline money that arrived", does((*Server).markPaid)},
	{post, "/v1/orders/{id}/revive", "reviveOrder", 200, once, 0, "Payments", "Revive a deleted order", does((*Server).reviveOrder)},
	{post, "/v1/payment-methods", "createPaymentMethod", 201, once, 0, "Payments", "Set up a payment method", does((*Server).createPaymentMethod)},
	{get, "/v1/payment-methods", "listPaymentMethods", 200, plain, 0, "Payments", "List payment methods", does((*Server).listPaymentMethods)},
	{get, "/v1/payment-methods/{id}", "getPaymentMethod", 200, plain, 0, "Payments", "Get a payment method", does((*Server).getPaymentMethod)},
	{patch, "/v1/payment-methods/{id}", "updatePaymentMethod", 200, plain, 0, "Payments", "Change a payment method", does((*Server).updatePaymentMethod)},
	{remove, "/v1/payment-methods/{id}", "deletePaymentMethod", 200, plain, 0, "Payments", "Delete a payment method", does((*Server).deletePaymentMethod)},
	{post, "/v1/products", "createProduct", 201, once, 0, "Products", "Create a product", does((*Server).createProduct)},
	{get, "/v1/products", "listProducts", 200, plain, 0, "Products", "List products", does((*Server).listProducts)},
	{get, "/v1/products/{id}", "getProduct", 200, plain, 0, "Products", "Get a product", does((*Server).getProduct)},
	{patch, "/v1/products/{id}", "updateProduct", 200, plain, 0, "Products", "Change a product", does((*Server).updateProduct)},
	{remove, "/v1/products/{id}", "archiveProduct", 200, plain, 0, "Products", "Archive a product", does((*Server).archiveProduct)},
	{post, "/v1/products/{id}/keys", "addPoolKeys", 200, once, largeBody, "Products", "Upload licence keys", poolUpload},
	{get, "/v1/products/{id}/keys/summary", "getPoolSummary", 200, plain, 0, "Products", "Count a pool's keys", does((*Server).getPoolSummary)},
	{post, "/v1/coupons", "createCoupon", 201, once, 0, "Discounts", "Create a coupon", does((*Server).createCoupon)},
	{get, "/v1/coupons", "listCoupons", 200, plain, 0, "Discounts", "List coupons", does((*Server).listCoupons)},
	{get, "/v1/coupons/{id}", "getCoupon", 200, plain, 0, "Discounts", "Get a coupon", does((*Server).getCoupon)},
	{patch, "/v1/coupons/{id}", "updateCoupon", 200, plain, 0, "Discounts", "Change a coupon", does((*Server).updateCoupon)},
	{remove, "/v1/coupons/{id}", "archiveCoupon", 200, plain, 0, "Discounts", "Archive a coupon", does((*Server).archiveCoupon)},
	{post, "/v1/offers", "createOffer", 201, once, 0, "Discounts", "Create a special offer", does((*Server).createOffer)},
	{get, "/v1/offers", "listOffers", 200, plain, 0, "Discounts", "List special offers", does((*Server).listOffers)},
	{get, "/v1/offers/{id}", "getOffer", 200, plain, 0, "Discounts", "Get a special offer", does((*Server).getOffer)},
	{patch, "/v1/offers/{id}", "updateOffer", 200, plain, 0, "Discounts", "Change a special offer", does((*Server).updateOffer)},
	{remove, "/v1/offers/{id}", "archiveOffer", 200, plain, 0, "Discounts", "Archive a special offer", does((*Server).archiveOffer)},
	{post, "/v1/checkout-links", "createCheckoutLink", 201, once, 0, "Checkout", "Create a signed checkout link", does((*Server).createCheckoutLink)},
	{get, "/v1/checkout-links", "listCheckoutLinks", 200, plain, 0, "Checkout", "List signed checkout links", does((*Server).listCheckoutLinks)},
	{get, "/v1/checkout-links/{id}", "getCheckoutLink", 200, plain, 0, "Checkout", "Get a signed checkout link", does((*Server).getCheckoutLink)},
	{post, "/v1/licenses/search", "searchLicenses", 200, once, 0, "Licenses", "Find a licence by its key", does((*Server).searchLicenses)},
	{get, "/v1/settings", "getSettings", 200, plain, 0, "Settings", "Get the settings", does((*Server).getSettings)},
	{patch, "/v1/settings", "updateSettings", 200, plain, 0, "Settings", "Change settings", does((*Server).updateSettings)},
	{post, "/v1/webhook-endpoints", "createWebhookEndpoint", 201, once, 0, "Webhooks", "Create a webhook endpoint", does((*Server).createWebhookEndpoint)},
	{get, "/v1/webhook-endpoints", "listWebhookEndpoints", 200, plain, 0, "Webhooks", "List webhook endpoints", does((*Server).listWebhookEndpoints)},
	{get, "/v1/webhook-endpoints/{id}", "getWebhookEndpoint", 200, plain, 0, "Webhooks", "Get a webhook endpoint", does((*Server).getWebhookEndpoint)},
	{patch, "/v1/webhook-endpoints/{id}", "updateWebhookEndpoint", 200, plain, 0, "Webhooks", "Change a webhook endpoint", does((*Server).updateWebhookEndpoint)},
	{remove, "/v1/webhook-endpoints/{id}", "deleteWebhookEndpoint", 200, plain, 0, "Webhooks", "Delete a webhook endpoint", does((*Server).deleteWebhookEndpoint)},
	{post, "/v1/webhook-endpoints/{id}/test", "testWebhookEndpoint", 201, once, 0, "Webhooks", "Send a test event", does((*Server).testWebhookEndpoint)},
	{get, "/v1/deliveries", "listDeliveries", 200, plain, 0, "Webhooks", "List deliveries", does((*Server).listDeliveries)},
	{get, "/v1/deliveries/{id}", "getDelivery", 200, plain, 0, "Webhooks", "Get a delivery with its attempts", does((*Server).getDelivery)},
	{post, "/v1/deliveries/{id}/retry", "retryDelivery", 200, once, 0, "Webhooks", "Deliver again, now", does((*Server).retryDelivery)},
	{post, "/v1/events", "createEvent", 201, once, 0, "Events", "Send an event of your own", does((*Server).createEvent)},
	{get, "/v1/events", "listEvents", 200, plain, 0, "Events", "List events", does((*Server).listEvents)},
	{get, "/v1/events/{id}", "getEvent", 200, plain, 0, "Events", "Get an event", does((*Server).getEvent)},
}

// A page is an address outside of the JSON API.
type page struct {
	method, path string
	who          access
	do           func(*Server, *fiber.Ctx) error
}

// An access is who may open a page.
type access string

const anyone access = "anyone" // or whoever has the address, where the address holds a token

// pages is every other address.
var pages = []page{
	{get, "/healthz", anyone, (*Server).healthz},
	{get, "/readyz", anyone, (*Server).readyz},
	{get, "/openapi.json", anyone, (*Server).openAPIDocument},
	{get, "/docs", anyone, (*Server).docsPage},
	{post, "/gateway/test/callback", anyone, (*Server).testGatewayCallback},
	{post, "/gateway/{gateway}/callback/{method}", anyone, (*Server).gatewayCallback},
	{get, "/gateway/test/{token}", anyone, (*Server).testGatewayPage},
	{post, "/gateway/test/{token}", anyone, (*Server).answerTestGateway},
	{get, "/assets/{file}", anyone, (*Server).serveAsset},
	{get, "/assets/brand/{file}", anyone, (*Server).serveBrandSheet},
	{get, "/buy/{id}", anyone, (*Server).buyProduct},
	{get, "/buy/{slug}/{sku}", anyone, (*Server).buySKU},
	{get, "/basket/add/{id}", anyone, (*Server).buyProduct},
	{get, "/link/{token}", anyone, (*Server).followLink},
	{get, "/checkout/{slug}", anyone, (*Server).checkoutPage},
	{post, "/checkout/{slug}", anyone, (*Server).submitCheckout},
	{get, "/pay/{token}", anyone, (*Server).payPage},
	{post, "/pay/{token}", anyone, (*Server).submitPay},
	{get, "/pay/{token}/qr.png", anyone, (*Server).payQR},
	{get, "/order/{token}", anyone, (*Server).orderPage},
	{post, "/order/{token}", anyone, (*Server).requestRefund},
	{get, "/order/{token}/receipt.pdf", anyone, (*Server).receiptPDF},
	{get, "/lost/{slug}", anyone, (*Server).lostPage},
	{post, "/lost/{slug}", anyone, (*Server).submitLost},
	{get, "/operator", anyone, (*Server).operatorPage},
	{post, "/operator", anyone, (*Server).signIn},
	{post, "/operator/sign-out", anyone, (*Server).signOut},
	{post, "/operator/jobs/{id}/retry", admins, (*Server).retryJob},
	{get, "/asynqmon", dashboard, (*Server).asynqmonPage},
	{get, "/asynqmon/*", dashboard, (*Server).asynqmonPage},
	{post, "/asynqmon/*", dashboard, (*Server).asynqmonPage},
	{remove, "/asynqmon/*", dashboard, (*Server).asynqmonPage},
	{get, "/mailbox", mailReaders, (*Server).mailboxPage},
	{get, "/mailbox/{id}", mailReaders, (*Server).emailPage},
	{get, "/mailbox/{id}/html", mailReaders, (*Server).emailHTML},
	{get, "/", anyone, (*Server).frontPage},
	{get, "/demo", visitors, (*Server).demoShopPage},
	{get, "/demo/terms", visitors, (*Server).demoTextPage},
	{get, "/demo/privacy", visitors, (*Server).demoTextPage},
	{get, "/demo/logo.svg", visitors, (*Server).demoLogo},
	{get, "/demo/webhooks", visitors, (*Server).receiverPage},
	{post, "/demo/webhooks", visitors, (*Server).receiveWebhook},
}

// An operation registers what a route does.
type operation func(*Server, huma.Operation)

// does makes an operation of a method whose input and output Huma understands.
func does[I, O any](f func(*Server, context.Context, *I) (*O, error)) operation {
	return func(s *Server, op huma.Operation) {
		huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) { return f(s, ctx, in) })
	}
}
