package models

import "fmt"

const (
	mendLost  = "purser doctor --mend, which starts it again"
	mendCount = "purser doctor --mend, which counts them again"
	mendUses  = "purser doctor --mend, which goes by the order"
	mendEvent = "somebody has deleted it: bring it back from a backup. Emitting another would tell receivers twice that were told before; " +
		"without a backup, the merchant decides by GET /v1/orders/{id} what they still need to know"
	mendByHand = "a bug, or somebody has changed the database by hand: compare the rows with a backup, and report it"
)

// doctorChecks are the checks that are one query each.
var doctorChecks = []doctorCheck{
	{
		1, "an item of a paid order is not delivered, does not wait visibly, and has no live promise", mendLost,
		`SELECT i.id FROM items i JOIN orders o ON o.id = i.order_id
			WHERE o.status = 'paid' AND i.fulfillment_status IN ('not_delivered', 'partially_delivered') AND i.waiting_for IS NULL
			AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.order_id = o.id AND j.finished_at IS NULL AND (j.args->>'item') = i.id)
			AND NOT EXISTS (SELECT 1 FROM jobs j JOIN emails e ON e.job_id = j.id
				WHERE j.order_id = o.id AND j.finished_at IS NULL AND e.order_id = o.id AND e.item_id = i.id AND e.status = 'pending')`,
		mendFulfilment, orderOfItem,
	},
	{
		1, "the oldest back-order of a product waits though its pool has enough keys, and nothing is about to fill it",
		mendLost,
		`SELECT i.id FROM items i WHERE i.waiting_for = 'pool'
			AND NOT EXISTS (SELECT 1 FROM items e WHERE e.product_id = i.product_id AND e.test = i.test AND e.waiting_for = 'pool'
				AND (e.waiting_since < i.waiting_since OR (e.waiting_since = i.waiting_since AND e.id < i.id)))
			AND (SELECT COUNT(*) FROM pool_keys k WHERE k.product_id = i.product_id AND k.test = i.test AND k.item_id IS NULL)
				>= CASE WHEN i.license_per = 'item' THEN 1 ELSE i.quantity END - (SELECT COUNT(*) FROM licenses l WHERE l.item_id = i.id)
			AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.finished_at IS NULL AND j.kind = 'pool.fill' AND (j.args->>'product') = i.product_id
				AND ((j.args->>'test') IS NOT NULL) = i.test)`, // a job in live mode has no such argument
		mendFilling, orderOfItem,
	},
	{
		1, "an item of an order that is not paid is delivered", mendByHand,
		`SELECT i.id FROM items i JOIN orders o ON o.id = i.order_id WHERE o.status IN ('not_paid', 'deleted') AND i.fulfillment_status = 'delivered'`,
		nil, "",
	},
	{
		1, "a delivered item lacks licences", mendByHand,
		`SELECT i.id FROM items i WHERE i.fulfillment_status = 'delivered'
			AND (SELECT COUNT(*) FROM licenses l WHERE l.item_id = i.id) < CASE WHEN i.license_per = 'item' THEN 1 ELSE i.quantity END`,
		nil, "",
	},
	{
		1, "an email is pending without a live promise", mendLost,
		`SELECT e.id FROM emails e WHERE e.status = 'pending' AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = e.job_id AND j.finished_at IS NULL)`,
		mendEmail, orderOfEmail,
	},
	{
		1, "an order's fulfilment is not what its items say", mendByHand,
		`SELECT o.id FROM orders o WHERE o.fulfillment_status <> CASE
			WHEN NOT EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id AND i.fulfillment_status <> 'delivered') THEN 'delivered'
			WHEN EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id AND i.fulfillment_status IN ('delivered', 'partially_delivered')) THEN 'partially_delivered'
			ELSE 'not_delivered' END`,
		nil, "",
	},
	{
		2, "a licence key is on more than one unit of a product", mendByHand,
		`SELECT l.id FROM licenses l JOIN (SELECT product_id, test, fingerprint FROM licenses GROUP BY product_id, test, fingerprint HAVING COUNT(*) > 1) twice
			ON twice.product_id = l.product_id AND twice.test = l.test AND twice.fingerprint = l.fingerprint`,
		nil, "",
	},
	{
		2, "a unit has a second licence, or an item one for a unit that it does not have", mendByHand,
		`SELECT l.id FROM licenses l JOIN items i ON i.id = l.item_id
			WHERE l.unit > CASE WHEN i.license_per = 'item' THEN 1 ELSE i.quantity END
			OR EXISTS (SELECT 1 FROM licenses x WHERE x.item_id = l.item_id AND x.unit = l.unit AND x.id <> l.id)`,
		nil, "",
	},
	{
		2, "a licence names another order or product than its item does", mendByHand,
		`SELECT l.id FROM licenses l JOIN items i ON i.id = l.item_id WHERE l.order_id <> i.order_id OR l.product_id <> i.product_id`,
		nil, "",
	},
	{
		2, "an email is about an item of another order", mendByHand, // it would hand one customer's key to another
		`SELECT e.id FROM emails e JOIN items i ON i.id = e.item_id WHERE e.order_id <> i.order_id`,
		nil, "",
	},
	{
		2, "a pool key that is on a licence can be sold again, or belongs to another item", mendByHand,
		`SELECT k.id FROM pool_keys k JOIN licenses l ON l.pool_key_id = k.id
			WHERE k.state = 'available' OR k.item_id IS NULL OR k.item_id <> l.item_id OR k.fingerprint <> l.fingerprint`,
		nil, "",
	},
	{
		2, "a pool key that was delivered is not marked so", mendByHand,
		`SELECT k.id FROM pool_keys k JOIN licenses l ON l.pool_key_id = k.id WHERE l.delivered_at IS NOT NULL AND k.state NOT IN ('delivered', 'revoked')`,
		nil, "",
	},
	{
		2, "a pool key was taken for an item but is on no licence", mendByHand,
		`SELECT k.id FROM pool_keys k WHERE k.state <> 'available' AND NOT EXISTS (SELECT 1 FROM licenses l WHERE l.pool_key_id = k.id)`,
		nil, "",
	},
	{
		2, "a key that is on a licence is for sale in the pool", mendByHand,
		`SELECT k.id FROM pool_keys k JOIN licenses l ON l.merchant_id = k.merchant_id AND l.fingerprint = k.fingerprint
			AND l.product_id = k.product_id AND l.test = k.test WHERE k.item_id IS NULL`,
		nil, "",
	},
	{
		3, "there are several events for one fact", mendByHand,
		`SELECT e.id FROM events e JOIN (SELECT fact FROM events GROUP BY fact HAVING COUNT(*) > 1) twice ON twice.fact = e.fact`,
		nil, "",
	},
	// Events are never deleted, and each is written in the transaction that makes its fact true.
	{
		3, "an order has no event order.created", mendEvent,
		`SELECT o.id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.fact = o.id || ':created')`,
		nil, "",
	},
	{
		3, "a paid order has no event payment.succeeded", mendEvent, // where there was nothing to pay, there is none
		`SELECT o.id FROM orders o WHERE o.status = 'paid' AND o.total > 0 AND NOT EXISTS (SELECT 1 FROM events e WHERE e.fact = o.id || ':paid')`,
		nil, "",
	},
	{
		3, "a delivered item has no event product.delivered", mendEvent,
		`SELECT i.id FROM items i WHERE i.fulfillment_status = 'delivered' AND NOT EXISTS (SELECT 1 FROM events e WHERE e.fact = i.id || ':delivered')`,
		nil, "",
	},
	{
		3, "a delivered order has no event order.delivered", mendEvent,
		`SELECT o.id FROM orders o WHERE o.fulfillment_status = 'delivered' AND NOT EXISTS (SELECT 1 FROM events e WHERE e.fact = o.id || ':delivered')`,
		nil, "",
	},
	{
		3, "a delivery is pending without a live promise", mendLost,
		`SELECT d.id FROM deliveries d WHERE d.status = 'pending' AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = d.job_id AND j.finished_at IS NULL)`,
		mendDeliveryJob, orderOfDelivery,
	},
	{
		4, "the lines of an order do not add up to its sums", mendByHand,
		`SELECT o.id FROM orders o JOIN (SELECT order_id, SUM(unit_price * quantity) AS subtotal, SUM(discount) AS discount, SUM(tax) AS tax, SUM(total) AS total
				FROM items GROUP BY order_id) i ON i.order_id = o.id
			WHERE i.subtotal <> o.subtotal OR i.discount <> o.discount OR i.tax <> o.tax OR i.total <> o.total`,
		nil, "",
	},
	{
		4, "an order has no items", mendByHand,
		`SELECT o.id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id)`,
		nil, "",
	},
	{
		4, "more was refunded than paid", mendByHand,
		`SELECT o.id FROM orders o WHERE o.amount_refunded > 0
			AND o.amount_refunded > (SELECT COALESCE(SUM(p.amount), 0) FROM payments p WHERE p.order_id = o.id AND p.status = 'succeeded')`,
		nil, "",
	},
	{
		4, "an order is paid without a payment that succeeded", mendByHand,
		`SELECT o.id FROM orders o WHERE o.status = 'paid' AND o.total > 0
			AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.order_id = o.id AND p.status = 'succeeded' AND p.applied)`,
		nil, "",
	},
	{
		4, "a payment was applied to an order that is not paid", mendByHand,
		`SELECT p.id FROM payments p JOIN orders o ON o.id = p.order_id WHERE p.applied AND o.status NOT IN ('paid', 'terminated')`,
		nil, "",
	},
	{
		// Money that is not what was asked for is kept, and never applied.
		4, "a payment that was applied to an order is not its total, or in another currency", mendByHand,
		`SELECT p.id FROM payments p JOIN orders o ON o.id = p.order_id WHERE p.applied AND (p.amount <> o.total OR p.currency <> o.currency)`,
		nil, "",
	},
	{
		4, "a coupon with a limit has another number of uses than was counted", mendCount,
		`SELECT c.id FROM coupons c JOIN coupon_counters n ON n.coupon_id = c.id
			WHERE ` + isLimited + ` AND n.used <> (SELECT COUNT(*) FROM coupon_uses u WHERE u.coupon_id = n.coupon_id AND u.test = n.test AND u.` + isCurrent + `)`,
		(*tx).recountCoupon, "",
	},
	{
		4, "an order that was deleted uses a coupon, or one that was not has given its use back", mendUses,
		`SELECT DISTINCT o.id FROM coupon_uses u JOIN orders o ON o.id = u.order_id
			WHERE (o.status = 'deleted' AND u.` + isCurrent + `) OR (o.status IN ('not_paid', 'paid') AND u.released_at IS NOT NULL)`,
		mendCouponUses, `SELECT id FROM orders WHERE id = ?`,
	},
	{
		6, "an order uses a coupon of another merchant, or in the other mode", mendByHand,
		`SELECT o.id FROM coupon_uses u JOIN orders o ON o.id = u.order_id JOIN coupons c ON c.id = u.coupon_id
			WHERE c.merchant_id <> o.merchant_id OR u.test <> o.test`,
		nil, "",
	},
	{
		// What waits in the inbox is not looked at: a gateway's account that two merchants share tells each of the other's payments, and
		// none of that is applied.
		6, "a callback was applied that is about a payment of another merchant, or of the other mode", mendByHand,
		`SELECT c.id FROM gateway_callbacks c JOIN payments p ON p.id = c.payment_id
			WHERE c.applied_at IS NOT NULL AND (c.merchant_id <> p.merchant_id OR c.test <> p.test)`,
		nil, "",
	},
}

// A reference is a column of a table that names a row of another.
type reference struct {
	table, column, to string
	mode              bool // both rows are of one mode, test or live
}

var references = []reference{
	{"items", "order_id", "orders", true},
	{"items", "product_id", "products", false},
	{"payments", "order_id", "orders", true},
	{"pool_keys", "product_id", "products", false},
	{"pool_keys", "item_id", "items", true},
	{"licenses", "order_id", "orders", true},
	{"licenses", "item_id", "items", true},
	{"licenses", "product_id", "products", false},
	{"licenses", "pool_key_id", "pool_keys", true},
	{"events", "order_id", "orders", true},
	{"deliveries", "event_id", "events", true},
	{"deliveries", "endpoint_id", "webhook_endpoints", true},
	{"emails", "order_id", "orders", true},
	{"emails", "item_id", "items", true},
	{"emails", "product_id", "products", false},
	{"history", "order_id", "orders", false},
	{"jobs", "order_id", "orders", false},
	{"items", "offer_id", "offers", false},
	{"payments", "method_id", "payment_methods", true},
	{"offers", "trigger_id", "products", false},
	{"offers", "product_id", "products", false},
	{"checkout_links", "order_id", "orders", true},
	{"carts", "link_id", "checkout_links", true},
	{"carts", "order_id", "orders", true},
	{"refunds", "order_id", "orders", true},
}

// A subject is the row that an argument of a promise (JobArgs, by its name in JSON) names.
type subject struct {
	arg, to string
	order   bool // such rows have an order, which is the promise's
}

var subjects = []subject{
	{"order", "orders", false},
	{"item", "items", true},
	{"email", "emails", true},
	{"delivery", "deliveries", false},
	{"payment", "payments", true},
	{"callback", "gateway_callbacks", false},
	{"product", "products", false},
}

// ownershipChecks is invariant 6: one query for each reference, and for what each argument of an unfinished promise names.
func ownershipChecks() (checks []doctorCheck) {
	for _, r := range references {
		mode := ""
		if r.mode {
			mode = " OR a.test <> b.test"
		}
		checks = append(checks, doctorCheck{
			6, fmt.Sprintf("a row of %s refers by %s to a row of another merchant or mode", r.table, r.column), mendByHand,
			fmt.Sprintf(`SELECT a.id FROM %s a JOIN %s b ON b.id = a.%s WHERE a.merchant_id <> b.merchant_id%s`, r.table, r.to, r.column, mode),
			nil, "",
		})
	}
	for _, u := range subjects {
		order := ""
		if u.order {
			order = " OR j.order_id <> b.order_id"
		}
		checks = append(checks, doctorCheck{
			6, fmt.Sprintf("an unfinished promise refers by its argument %s to a row of another merchant or order than its own", u.arg), mendByHand,
			fmt.Sprintf(`SELECT j.id FROM jobs j JOIN %s b ON b.id = (j.args->>'%s') WHERE j.finished_at IS NULL AND (j.merchant_id <> b.merchant_id%s)`, u.to, u.arg, order),
			nil, "",
		})
	}
	return checks
}
