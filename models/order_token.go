package models

import (
	"context"
	"regexp"
	"strings"
	"time"

	"gorm.io/gorm"
)

var tokenShape = regexp.MustCompile(`^[A-Za-z0-9_-]{32}$`)

// OrderByToken returns the order whose payment and order pages have this token, with its licence keys, its merchant and its scope.
func (s *Store) OrderByToken(ctx context.Context, token string) (*OrderView, *Merchant, error) {
	if !tokenShape.MatchString(token) {
		return nil, nil, notFound("order")
	}
	const byToken = "(SELECT id FROM orders WHERE token = ?)"
	var m Merchant
	o, err := s.snapshotOrder(ctx, byToken, token, func(db *gorm.DB) *gorm.DB {
		return db.Where("id = (SELECT merchant_id FROM orders WHERE token = ?)", token).Take(&m)
	})
	if err != nil {
		return nil, nil, orNotFound(err, "order")
	}
	if o.Status == OrderTerminated {
		return nil, nil, notFound("order")
	}
	v, err := s.view(o, false)
	return v, &m, err
}

func orderByToken(db *gorm.DB, token string) (*Order, error) {
	if !tokenShape.MatchString(token) {
		return nil, notFound("order")
	}
	var o Order
	err := db.Where("token = ? AND status <> ?", token, OrderTerminated).Take(&o).Error
	return &o, orNotFound(err, "order")
}

// ShownLicenses are the ids of those of an order's products whose licences its page may show.
func (s *Store) ShownLicenses(ctx context.Context, o *OrderView) (map[string]bool, error) {
	ids := make([]string, len(o.Items))
	for i := range o.Items {
		ids[i] = o.Items[i].Product
	}
	var shown []string
	err := s.read(ctx).Model(&Product{}).Where("id IN ? AND show_license_on_order_page", ids).Pluck("id", &shown).Error
	out := make(map[string]bool, len(shown))
	for _, id := range shown {
		out[id] = true
	}
	return out, err
}

// linksPause is how often an address can be mailed its order links.
const linksPause = 10 * time.Minute

// maxOrderLinks bounds the links in one email.
const maxOrderLinks = 50

// RequestOrderLinks mails the links of a customer's paid orders to the address that is on them. It does and says the same whether
// there are any, so that a stranger learns nothing; repeated within ten minutes it mails once.
func (s *Store) RequestOrderLinks(ctx context.Context, sc Scope, email string) error {
	email = strings.ToLower(strings.TrimSpace(email))
	if !validEmail(email) {
		return Invalid("email", "must be an email address")
	}
	return s.write(ctx, func(t *tx) error {
		var found []Order
		if err := customerOrders(t.DB, sc, email).Limit(1).Find(&found).Error; err != nil || len(found) == 0 {
			return err
		}
		o := &found[0]
		fact := o.ID + ":order_links:" + t.now.Truncate(linksPause).Format(time.RFC3339)
		return t.email(Email{Kind: EmailOrderLinks, Fact: fact}, o)
	})
}

// customerOrders are the paid orders of an address, newest first.
func customerOrders(db *gorm.DB, sc Scope, email string) *gorm.DB {
	return db.Where("merchant_id = ? AND test = ? AND customer_email = ? AND status = ?", sc.MerchantID, sc.Test, email, OrderPaid).Order("id DESC")
}

// OrderLink leads to the page of one order.
type OrderLink struct {
	Number, URL string
	CreatedAt   time.Time
}

func (s *Store) orderLinks(db *gorm.DB, sc Scope, email string) ([]OrderLink, error) {
	var orders []Order
	if err := customerOrders(db, sc, email).Limit(maxOrderLinks).Find(&orders).Error; err != nil {
		return nil, err
	}
	out := make([]OrderLink, len(orders))
	for i, o := range orders {
		out[i] = OrderLink{o.Number, s.links + "/order/" + o.Token, o.CreatedAt}
	}
	return out, nil
}
