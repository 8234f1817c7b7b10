package api

// descriptions say of an operation what its summary, its fields and the introduction do not.
var descriptions = map[string]string{
	"createOrder":      "The storefront's checkout request. The customer pays at `payment_url`, or by createPayment. An order whose total is zero is paid at once.",
	"listOrders":       "Newest first. Terminated test orders are left out unless their status is asked for.",
	"getOrderTimeline": "States, payments, jobs, generator calls, webhooks, emails and what staff did, oldest first: all of it, or `limit` entries at a time.",
	"cancelOrder":      "Only an unpaid order can be cancelled; it becomes `deleted` with `delete_reason` `cancelled`. A paid order can only be refunded. Cancelling a cancelled order changes nothing.",
	"retryItem":        "Starts the fulfilment of an item whose `fulfillment_status` is `failed` again.",
	"createPayment": "Begins an attempt to pay the order's total. `requires_action` comes with a `redirect_url` for the customer; `processing` is decided later and told by webhook. " +
		"An attempt that still waits for its customer is cancelled in favour of the new one.\n\n" +
		"Test cards: `4242424242424242` succeeds, `4000000000000002` is declined (`card_declined`), `4000000000009995` has `insufficient_funds`, " +
		"`4000000000000069` is an `expired_card`, `4000000000000119` is a `processing_error`, `4000002500003155` asks for confirmation, " +
		"`4000000000000077` is `processing` for two seconds. Any other valid number is declined.",

	"markOrderPaid": "The order's total in its currency pays the order. Anything else is recorded and told by `payment.mismatch`, and money for an order that is paid or deleted by `payment.late`; " +
		"then it is for the merchant to decide.",
	"reviveOrder":         "Makes a `deleted` order unpaid again. Money of the right amount that arrived for it meanwhile pays it at once. Reviving an unpaid order changes nothing.",
	"createPaymentMethod": "Of the key's own mode. In test mode cards are taken by the test gateway until another gateway for them is set up.",
	"updatePaymentMethod": "A merge patch, also of `config`. Payments under way go on with the new configuration.",
	"deletePaymentMethod": "It is no longer offered. Payments under way are still settled through it.",

	"createProduct":  "A product of method `signed` gets a signing key of its own; its public key is in the answer's `license`. Once the merchant is live, a test key cannot change the catalogue.",
	"listProducts":   "Newest first, without the archived ones.",
	"updateProduct":  "A merge patch: fields that are absent stay as they are, null puts back a default. Orders keep the name, prices and choices that they were made with.",
	"archiveProduct": "Takes the product out of the catalogue for good and answers with it. Orders keep it, and its SKU becomes free. Archiving an archived product changes nothing.",
	"addPoolKeys": "For a product of method `pool`: one key a line as `text/plain`, or `keys` as JSON. Keys that the pool has or ever had are skipped, so an upload can be repeated. " +
		"The keys fill items that wait for them, oldest first. Test and live mode have pools of their own.",
	"createCheckoutLink": "Give the customer the answer's `url`. Opening it puts the items into the cart, in place of what is there, and leads to the checkout. " +
		"A link made with a test key makes test orders.",
	"listCheckoutLinks":     "Newest first, those of the key's own mode.",
	"createCoupon":          "A coupon takes a percentage off, or a fixed amount for each currency. At most one coupon by code applies to an order, after the automatic one that takes most off.",
	"updateCoupon":          "A merge patch. What a coupon takes off cannot change, because orders were made with it.",
	"archiveCoupon":         "Ends the coupon for good and frees its code. Orders that use it keep their prices.",
	"createOffer":           "The checkout page makes the offer to whoever has the trigger in the cart.",
	"archiveOffer":          "Ends the offer for good.",
	"getPoolSummary":        "Of the key's own mode.",
	"searchLicenses":        "Finds the licences with exactly this key, and the orders that they are of. `next_cursor` is always null.",
	"updateSettings":        "A merge patch: fields that are absent stay as they are, null puts back a default.",
	"createWebhookEndpoint": "The answer has the signing `secret`, this once. The endpoint is told of events of the key's own mode, from now on.",
	"updateWebhookEndpoint": "A merge patch: fields that are absent stay as they are, null puts back a default. What is under way goes to the new address.",
	"deleteWebhookEndpoint": "Cancels what is still to be delivered to it.",
	"testWebhookEndpoint":   "Sends an event of type `webhook_endpoint.test` to this endpoint, whatever it is subscribed to, and answers with the delivery.",
	"listDeliveries":        "One delivery for each event and endpoint, newest first.",
	"getDelivery":           "Every attempt with its time, status code, milliseconds and error, and the first 2 KiB of the answer.",
	"retryDelivery":         "Tries a finished delivery again, or a waiting one without further waiting. One that is being tried at this moment is a conflict.",
	"createEvent":           "Goes to those of the merchant's own endpoints that are subscribed to its type.",
	"listEvents":            "Newest first.",
}
