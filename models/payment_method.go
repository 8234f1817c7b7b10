package models

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"gorm.io/gorm"
)

// The gateways that payments go through.
const (
	GatewayTest         = "test"
	GatewayStripe       = "stripe"
	GatewayBankTransfer = "bank_transfer"
)

// PaymentMethod is a way to pay that a merchant has set up for one mode.
type PaymentMethod struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	Test       bool
	Method     string // card or bank_transfer
	Gateway    string // stripe or bank_transfer; test needs no setting up
	// Currencies that it takes; empty means all.
	Currencies []string `gorm:"serializer:json"`
	// Config is the part of the configuration that may be shown.
	Config RawJSON
	// Sealed is the whole configuration with its secrets, sealed with the method's id.
	Sealed    []byte
	Active    bool
	Position  int // the order in which methods are offered
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt *time.Time
}

// PaymentMethodInput is a new payment method. The caller has checked the configuration with the gateway's own leaf.
type PaymentMethodInput struct {
	Method, Gateway string
	Currencies      []string
	Public, Whole   json.RawMessage
	Active          bool
	Position        int
}

// PaymentMethodPatch changes a payment method; nil leaves a member as it is.
type PaymentMethodPatch struct {
	Currencies    *[]string
	Public, Whole json.RawMessage
	Active        *bool
	Position      *int
}

// PaymentMethodView is a payment method as the API shows it, without its secrets.
type PaymentMethodView struct {
	ID         string          `json:"id"`
	Test       bool            `json:"test"`
	Method     string          `json:"method"`
	Gateway    string          `json:"gateway"`
	Currencies []string        `json:"currencies" doc:"Empty for all."`
	Config     json.RawMessage `json:"config" doc:"Without secrets."`
	Active     bool            `json:"active"`
	Position   int             `json:"position"`
	CreatedAt  time.Time       `json:"created_at"`
	UpdatedAt  time.Time       `json:"updated_at"`
}

func (m *PaymentMethod) view() *PaymentMethodView {
	return &PaymentMethodView{
		ID: m.ID, Test: m.Test, Method: m.Method, Gateway: m.Gateway, Currencies: m.Currencies, Config: json.RawMessage(m.Config), Active: m.Active,
		Position: m.Position, CreatedAt: m.CreatedAt, UpdatedAt: m.UpdatedAt,
	}
}

func (m *PaymentMethod) check() error {
	var bad invalids
	for i, c := range m.Currencies {
		if !knownCurrency(c) {
			bad.add("currencies["+itoa(i)+"]", "must be an ISO 4217 code in capitals, such as EUR")
		}
	}
	return bad.err()
}

const maxPaymentMethods = 20

// CreatePaymentMethod sets up a way to pay.
func (s *Store) CreatePaymentMethod(ctx context.Context, sc Scope, in PaymentMethodInput) (*PaymentMethodView, error) {
	m := &PaymentMethod{
		ID: newID("pmt"), MerchantID: sc.MerchantID, Test: sc.Test, Method: in.Method, Gateway: in.Gateway, Currencies: in.Currencies,
		Config: RawJSON(in.Public), Active: in.Active, Position: in.Position,
	}
	if m.Currencies == nil {
		m.Currencies = []string{}
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	m.Sealed = s.keys.Seal(in.Whole, m.ID)
	err := s.write(ctx, func(t *tx) error {
		var n int64
		if err := paymentMethods(t.DB, sc).Count(&n).Error; err != nil {
			return err
		}
		if n >= maxPaymentMethods {
			return conflict("There are %d payment methods already.", n)
		}
		m.CreatedAt, m.UpdatedAt = t.now, t.now
		return t.Create(m).Error
	})
	return m.view(), err
}

func paymentMethods(db *gorm.DB, sc Scope) *gorm.DB {
	return db.Model(&PaymentMethod{}).Where("merchant_id = ? AND test = ? AND deleted_at IS NULL", sc.MerchantID, sc.Test)
}

func findPaymentMethod(db *gorm.DB, sc Scope, id string) (*PaymentMethod, error) {
	if !isID(id, "pmt") {
		return nil, notFound("payment method")
	}
	var m PaymentMethod
	err := paymentMethods(db, sc).Where("id = ?", id).Take(&m).Error
	return &m, orNotFound(err, "payment method")
}

// PaymentMethod returns a payment method.
func (s *Store) PaymentMethod(ctx context.Context, sc Scope, id string) (*PaymentMethodView, error) {
	m, err := findPaymentMethod(s.read(ctx), sc, id)
	if err != nil {
		return nil, err
	}
	return m.view(), nil
}

// PaymentMethods lists a merchant's payment methods in one mode, newest first.
func (s *Store) PaymentMethods(ctx context.Context, sc Scope, page Page) ([]*PaymentMethodView, string, error) {
	rows, next, err := paginate(paymentMethods(s.read(ctx), sc), page, func(m *PaymentMethod) string { return m.ID })
	if err != nil {
		return nil, "", err
	}
	views := make([]*PaymentMethodView, len(rows))
	for i := range rows {
		views[i] = rows[i].view()
	}
	return views, next, nil
}

// UpdatePaymentMethod changes a payment method. Payments under way go on with the new configuration.
func (s *Store) UpdatePaymentMethod(ctx context.Context, sc Scope, id string, patch PaymentMethodPatch) (*PaymentMethodView, error) {
	var m *PaymentMethod
	err := s.write(ctx, func(t *tx) (err error) {
		if m, err = findPaymentMethod(s.dialect.lock(t.DB, ""), sc, id); err != nil {
			return err
		}
		if patch.Currencies != nil {
			m.Currencies = *patch.Currencies
		}
		if patch.Active != nil {
			m.Active = *patch.Active
		}
		if patch.Position != nil {
			m.Position = *patch.Position
		}
		if patch.Whole != nil {
			m.Config, m.Sealed = RawJSON(patch.Public), s.keys.Seal(patch.Whole, m.ID)
		}
		if err := m.check(); err != nil {
			return err
		}
		m.UpdatedAt = t.now
		return t.Model(m).Select("currencies", "config", "sealed", "active", "position", "updated_at").Updates(m).Error
	})
	if err != nil {
		return nil, err
	}
	return m.view(), nil
}

// DeletePaymentMethod takes a payment method away. Its payments under way are still settled.
func (s *Store) DeletePaymentMethod(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(t *tx) error {
		m, err := findPaymentMethod(t.DB, sc, id)
		if err != nil {
			return err
		}
		return t.Model(m).Update("deleted_at", t.now).Error
	})
}

// PaymentMethodConfig opens the whole configuration of a payment method, also of one that was deleted: payments that it began
// are settled with it, and callbacks of its gateway still come. The scope is the method's own.
func (s *Store) PaymentMethodConfig(ctx context.Context, id string) (gateway string, sc Scope, whole json.RawMessage, err error) {
	if !isID(id, "pmt") {
		return "", sc, nil, notFound("payment method")
	}
	var m PaymentMethod
	if err := s.read(ctx).Where("id = ?", id).Take(&m).Error; err != nil {
		return "", sc, nil, orNotFound(err, "payment method")
	}
	whole, err = s.keys.Open(m.Sealed, m.ID)
	return m.Gateway, Scope{m.MerchantID, m.Test}, whole, err
}

// PayChoice is a way to pay that is offered for an order.
type PayChoice struct {
	Method   string
	Gateway  string
	MethodID string // empty for what test mode offers by itself
}

// PayChoices are the ways to pay in a currency: what the merchant has set up, and in test mode also a card through the test gateway,
// unless another gateway for cards is offered, and a transfer to the sample account, unless one to another account was set up.
func (s *Store) PayChoices(ctx context.Context, sc Scope, currency string) ([]PayChoice, error) {
	var rows []PaymentMethod
	if err := listMethods(s.read(ctx), sc, &rows).Error; err != nil {
		return nil, err
	}
	return payChoices(rows, sc, currency), nil
}

// OrderToPay returns an order, and the ways to pay it.
func (s *Store) OrderToPay(ctx context.Context, sc Scope, id string) (*OrderView, []PayChoice, error) {
	var rows []PaymentMethod
	o, err := s.orderOf(ctx, sc, id, func(db *gorm.DB) *gorm.DB { return listMethods(db, sc, &rows) })
	if err != nil {
		return nil, nil, err
	}
	return o, payChoices(rows, sc, o.Currency), nil
}

func listMethods(db *gorm.DB, sc Scope, rows *[]PaymentMethod) *gorm.DB {
	return paymentMethods(db, sc).Order("position, id").Find(rows)
}

func payChoices(rows []PaymentMethod, sc Scope, currency string) (out []PayChoice) {
	for _, m := range rows {
		if !m.Active || len(m.Currencies) > 0 && !slices.Contains(m.Currencies, currency) {
			continue
		}
		if slices.ContainsFunc(out, func(c PayChoice) bool { return c.Method == m.Method }) {
			continue // the first of several for one method
		}
		out = append(out, PayChoice{Method: m.Method, Gateway: m.Gateway, MethodID: m.ID})
	}
	if sc.Test && !slices.ContainsFunc(out, func(c PayChoice) bool { return c.Method == "card" }) {
		out = append([]PayChoice{{Method: "card", Gateway: GatewayTest}}, out...)
	}
	if sc.Test && !slices.ContainsFunc(rows, func(m PaymentMethod) bool { return m.Method == GatewayBankTransfer }) {
		out = append(out, PayChoice{Method: GatewayBankTransfer, Gateway: GatewayBankTransfer})
	}
	return out
}
