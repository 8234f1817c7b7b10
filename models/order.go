package models

import "time"

// OrderStatus is the state of an order; see order_state.go for its moves.
type OrderStatus string

// The order statuses.
const (
	OrderNotPaid    OrderStatus = "not_paid"
	OrderPaid       OrderStatus = "paid"
	OrderDeleted    OrderStatus = "deleted"
	OrderTerminated OrderStatus = "terminated"
)

// FulfillmentStatus is how far an item, or an order by its items, is delivered.
type FulfillmentStatus string

// The fulfilment statuses. An order is never failed; its items may be.
const (
	NotDelivered       FulfillmentStatus = "not_delivered"
	PartiallyDelivered FulfillmentStatus = "partially_delivered"
	Delivered          FulfillmentStatus = "delivered"
	FulfillmentFailed  FulfillmentStatus = "failed"
)

// Why an order was deleted.
const (
	DeletedExpired   = "expired"
	DeletedCancelled = "cancelled"
)

// Order is what a customer wants to buy, or has bought.
type Order struct {
	ID                string `gorm:"primaryKey"`
	Number            string
	MerchantID        string
	Test              bool
	Status            OrderStatus
	FulfillmentStatus FulfillmentStatus // derived from the items, in every transaction that moves one
	RefundStatus      *string
	DeleteReason      *string
	Currency          string
	Subtotal          int64 // minor units, like all amounts
	Discount          int64
	Tax               int64
	TaxInclusive      bool
	Total             int64
	AmountRefunded    int64
	Locale            string
	ExternalID        string
	Coupon            string
	CustomerEmail     string   // lower case, for searching; Customer.Email is as it was given
	Customer          Customer `gorm:"serializer:json"`
	PaymentMethod     string   // empty until chosen
	MethodClass       string   // online or offline: which reminders apply
	ReminderStage     int      // how many reminders were staged or have passed
	Token             string   // of the payment and order pages
	ReturnURL         string
	Metadata          map[string]string `gorm:"serializer:json"`
	Source            map[string]string `gorm:"serializer:json"` // ref and utm_… of the checkout link
	Consents          Consents          `gorm:"serializer:json"`
	CreatedAt         time.Time
	UnpaidSince       time.Time // creation, or revival; expiry and reminders count from it
	PaidAt            *time.Time
	DeliveredAt       *time.Time
	DeletedAt         *time.Time
	Items             []Item    `gorm:"foreignKey:OrderID"`
	Payments          []Payment `gorm:"foreignKey:OrderID"`
	licenses          []License // of all items, until sortLicenses
}

// Customer is who buys.
type Customer struct {
	Email     string `json:"email" format:"email" maxLength:"254" doc:"Where licences and notices go."`
	FirstName string `json:"first_name" required:"false" maxLength:"100"`
	LastName  string `json:"last_name" required:"false" maxLength:"100"`
	Type      string `json:"type" required:"false" enum:"individual,business," default:"individual"`
	Country   string `json:"country" required:"false" maxLength:"2" doc:"ISO 3166-1 alpha-2, or empty."`
	Company   string `json:"company" required:"false" maxLength:"200"`
	VATNumber string `json:"vat_number" required:"false" maxLength:"50"`
	City      string `json:"city" required:"false" maxLength:"100"`
	Zip       string `json:"zip" required:"false" maxLength:"20"`
	Address   string `json:"address" required:"false" maxLength:"300"`
	Phone     string `json:"phone" required:"false" maxLength:"50"`
}

// viaCheckout marks consents that were given on the hosted checkout, which knows what texts it showed.
const viaCheckout = "checkout"

// Consents is the evidence of what the customer agreed to.
type Consents struct {
	Terms        bool      `json:"terms"`
	PersonalData bool      `json:"personal_data"`
	At           time.Time `json:"at"`
	Locale       string    `json:"locale"`
	Address      string    `json:"address,omitempty"` // IP address of the customer, where the page took the consent
	Via          string    `json:"via"`               // api, or checkout
	// TermsURL and PrivacyURL are where the texts were that the page linked to.
	TermsURL   string `json:"terms_url,omitempty"`
	PrivacyURL string `json:"privacy_url,omitempty"`
	// TermsVersion and PrivacyVersion are those of the texts: of a checkout what its page showed, else what was in force at the order.
	TermsVersion   string `json:"terms_version,omitempty"`
	PrivacyVersion string `json:"privacy_version,omitempty"`
}

// Item is one line of an order.
type Item struct {
	ID                string `gorm:"primaryKey"`
	OrderID           string
	MerchantID        string
	Test              bool
	Position          int // from 1
	ProductID         string
	SKU               string // SKU and Name as they were when the order was made
	Name              string
	Quantity          int
	UnitPrice         int64
	Discount          int64
	Tax               int64
	Total             int64
	OfferID           *string // the special offer that was accepted
	LicenseMethod     string
	LicensePer        string
	FulfillmentStatus FulfillmentStatus
	Failure           *string // set while failed: why, for staff
	WaitingFor        *string // pool: a back-order
	WaitingSince      *time.Time
	DeliveredAt       *time.Time
	Licenses          []License `gorm:"foreignKey:ItemID"`
	product           *Product  // set by lockItem
}

// units is how many licences the item needs.
func (i *Item) units() int { return licensesFor(i.LicensePer, i.Quantity) }

// licensesFor is how many licences a quantity of a product needs that has one for each unit, or for each item.
func licensesFor(per string, quantity int) int {
	if per == "item" {
		return 1
	}
	return quantity
}

func (o *Order) scope() Scope { return Scope{o.MerchantID, o.Test} }

func (o *Order) item(id string) *Item {
	for i := range o.Items {
		if o.Items[i].ID == id {
			return &o.Items[i]
		}
	}
	return nil
}
