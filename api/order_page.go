package api

import (
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

const (
	// freshlyPaid is how long after the payment the page looks by itself whether the licences are there, every few seconds.
	freshlyPaid     = 30 * time.Second
	deliveryRefresh = 4
	// maxReason is the longest reason of a refund request, in characters.
	maxReason = 500
)

// orderPageView is what the order page shows.
type orderPageView struct {
	Order  *tokenOrder
	State  string // unpaid, confirming, expired, cancelled, paid, preparing, partly, delivered or refunded
	Items  []orderItem
	Refund *models.RefundView // that waits for staff or is under way
	// AskRefund: the customer may ask for the money back here.
	AskRefund bool
	Receipt   bool
	Reason    string // of a refund request, as it was typed
	Wrong     string // pay.…: what is wrong with it
}

// Tone is how good the news is: done, wait or notice. The page has a colour and a sign for each.
func (v orderPageView) Tone() string {
	switch v.State {
	case "paid", "preparing", "partly", "delivered":
		return "done"
	case "unpaid", "confirming":
		return "wait"
	}
	return "notice"
}

// orderItem is a line with what the customer may see of its delivery.
type orderItem struct {
	models.ItemView
	Gross int64
	// Note names the text about the delivery: order.item_<note>; empty while there is nothing to say.
	Note string
	Keys []models.LicenseView
}

// returnedParam marks the address by which a gateway sends the customer back from its page.
const returnedParam = "returned"

// orderPage shows an order to whoever has its address.
func (s *Server) orderPage(c *fiber.Ctx) error {
	o, err := s.orderOf(c)
	if err != nil {
		return err
	}
	if c.Query(returnedParam) != "" {
		if err := s.askAfterReturn(requestOf(c).root, o.OrderView); err != nil {
			return err
		}
		return c.Redirect(o.OrderLink(), fiber.StatusSeeOther)
	}
	return s.showOrder(c, fiber.StatusOK, o, "", "")
}

func (s *Server) showOrder(c *fiber.Ctx, status int, o *tokenOrder, reason, wrong string) error {
	shown, err := s.store.ShownLicenses(c.UserContext(), o.OrderView)
	if err != nil {
		return err
	}
	refund, err := s.store.OpenRefund(c.UserContext(), o.ID)
	if err != nil {
		return err
	}
	v := orderPageView{Order: o, State: orderState(o), Refund: refund, Receipt: o.Status == models.OrderPaid, Reason: reason, Wrong: wrong}
	for i := range o.Items {
		v.Items = append(v.Items, itemOf(o, &o.Items[i], shown[o.Items[i].Product]))
	}
	v.AskRefund = o.merchant.Settings.RefundRequests && o.Status == models.OrderPaid && o.Total > o.AmountRefunded && refund == nil
	sh := o.shop
	sh.Title = sh.Words.T("order.title", "number", o.Number)
	switch {
	case v.State == "confirming":
		sh.Refresh = confirmRefresh
	case v.State == "preparing" && o.PaidAt != nil && time.Since(*o.PaidAt) < freshlyPaid && wrong == "":
		sh.Refresh, v.AskRefund = deliveryRefresh, false // nothing typed is lost to the refresh
	}
	return s.shopPage(c, status, "order", sh, v)
}

// orderState names the state in a customer's terms: order.state_<state>.
func orderState(o *tokenOrder) string {
	switch {
	case o.Status == models.OrderDeleted && textOf(o.DeleteReason) == models.DeletedExpired:
		return "expired"
	case o.Status == models.OrderDeleted:
		return "cancelled"
	case o.Status == models.OrderNotPaid:
		v := payView{}
		if v.of(o, func(u string) string { return u }); v.State == "confirming" {
			return "confirming"
		}
		return "unpaid"
	case o.Total > 0 && o.AmountRefunded >= o.Total:
		return "refunded"
	case o.FulfillmentStatus == models.Delivered:
		return "delivered"
	case o.FulfillmentStatus == models.PartiallyDelivered:
		return "partly"
	}
	for i := range o.Items {
		if o.Items[i].FulfillmentStatus == models.FulfillmentFailed || textOf(o.Items[i].WaitingFor) != "" {
			return "paid"
		}
	}
	return "preparing"
}

// itemOf is a line of the page. Keys are there once they have been delivered, and where the product lets the page show them.
func itemOf(o *tokenOrder, i *models.ItemView, show bool) orderItem {
	v := orderItem{ItemView: *i, Gross: i.UnitPrice * int64(i.Quantity)}
	if o.Status != models.OrderPaid {
		return v
	}
	delivered := 0
	for _, l := range i.Licenses {
		if l.DeliveredAt == nil {
			continue
		}
		delivered++
		if show && l.Status == models.LicenseActive {
			v.Keys = append(v.Keys, l)
		}
	}
	switch {
	case i.FulfillmentStatus == models.FulfillmentFailed:
		v.Note = "failed"
	case i.FulfillmentStatus == models.Delivered && !show && delivered > 0:
		v.Note = "mailed"
	case i.FulfillmentStatus == models.Delivered:
	case textOf(i.WaitingFor) != "":
		v.Note = "waiting"
	default:
		v.Note = "preparing"
	}
	return v
}

// requestRefund records that the customer asks for the money back.
func (s *Server) requestRefund(c *fiber.Ctx) error {
	o, form, err := s.sentTo(c)
	if err != nil {
		return err
	}
	reason := shortened(form.Get("reason"), 2*maxReason)
	switch {
	case reason == "":
		return s.showOrder(c, fiber.StatusUnprocessableEntity, o, "", "missing")
	case utf8.RuneCountInString(reason) > maxReason || len(reason) > 4*maxReason:
		return s.showOrder(c, fiber.StatusUnprocessableEntity, o, reason, "long")
	}
	err = s.store.RequestRefund(c.UserContext(), o.token, reason)
	switch models.CodeOf(err) {
	case models.CodeConflict: // the page says what there is to ask for
	case models.CodeInvalid:
		return s.showOrder(c, fiber.StatusUnprocessableEntity, o, reason, "long")
	default:
		if err != nil {
			return err
		}
	}
	return c.Redirect(o.OrderLink(), fiber.StatusSeeOther)
}
