package mail

import (
	"strings"
	"time"
)

// Data is everything that an email can say. Which parts a kind needs is listed in kind.go; [Render] refuses to render
// without them. Amounts are integer minor units of Order.Currency. Times are shown as the date they have in their own
// location; a zero time is left out.
type Data struct {
	Merchant Merchant
	Customer Customer
	Order    Order
	Test     bool      // made in test mode: subject and both parts say so
	Date     time.Time // {DATE}: the day the email is about; the caller keeps it the same on every try

	Item           Item         // the order item that the email is about
	Text           string       // the merchant's own text for the item, plain, with tags; with {KEY} it is the whole letter, else a paragraph
	Instructions   Instructions // how to pay by the offline method of the order
	PayCode        []byte       // PNG that a banking app reads Instructions from; optional
	ReminderNumber int          // 1 for the first reminder of an order
	Refund         Refund
	FailureReason  string // why an item could not be delivered, for the merchant
	Stock          Stock
	Orders         []OrderLink
	PortalURL      string // where the merchant's staff deal with it
}

// Merchant is the seller in whose name the email is sent.
type Merchant struct {
	Name         string
	SupportEmail string // customers' emails need this or SupportURL
	SupportURL   string
	BrandColor   string // "#rrggbb"; anything else means the default
	LogoURL      string // an https address; anything else means none
}

// Customer is the buyer.
type Customer struct {
	FirstName, LastName, Email, Company string
	Country, City, Zip, Address, Phone  string
}

func (c Customer) fullName() string {
	return strings.TrimSpace(c.FirstName + " " + c.LastName)
}

// Order is the order as it is when the email is rendered.
type Order struct {
	Number        string
	URL           string // order page
	PayURL        string // payment page
	Date          time.Time
	ExpiresAt     time.Time // when an unpaid order will be deleted
	PaymentMethod string    // display name

	Currency     string // ISO 4217
	Items        []Item
	Subtotal     int64
	Discount     int64
	Tax          int64
	TaxInclusive bool // Tax is contained in Subtotal
	Total        int64
}

// Item is one line of an order.
type Item struct {
	Name      string
	Quantity  int
	UnitPrice int64
	Total     int64 // after discount, as in the order

	Licenses        []string // keys, each possibly of several lines
	Downloads       []Download
	InstructionsURL string // {URL}: how to install the product
	DownloadURL     string // {URL_FULL}: where to download the product
	CustomerNote    string // {ADDINFO_TEXT}: what the customer wrote into the additional field
}

// keys is what {KEY} stands for: the licences, or the links where the product is delivered as files.
func (i Item) keys() []string {
	if len(i.Licenses) > 0 {
		return i.Licenses
	}
	links := make([]string, len(i.Downloads))
	for n, d := range i.Downloads {
		links[n] = d.URL
	}
	return links
}

// Download is a file that the customer may fetch.
type Download struct {
	Name      string
	URL       string
	SHA256    string // hexadecimal; optional
	ExpiresAt time.Time
}

// Instructions say how to pay by bank transfer or another offline method. Empty fields are left out.
type Instructions struct {
	AccountHolder string
	Account       string // IBAN or account number
	BankCode      string // BIC or whatever the country uses
	Bank          string
	Reference     string
	Text          string // the merchant's additional instructions, plain
}

// Refund is a refund that was completed or declined.
type Refund struct {
	Amount          int64
	LicensesRevoked bool
	Note            string // from the merchant to the customer
}

// Stock is the state of a key pool.
type Stock struct {
	Product   string
	Available int
	Threshold int
	Waiting   int // order items that wait for a key
}

// OrderLink leads to the page of one order.
type OrderLink struct {
	Number string
	URL    string
	Date   time.Time
}
