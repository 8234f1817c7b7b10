package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// BankTransferGateway tells customers where to transfer the money. It moves none
// itself: a person confirms what has arrived and what was sent back.
type BankTransferGateway struct {
	config BankTransferConfig
}

var _ Gateway = (*BankTransferGateway)(nil)

// BankTransferConfig is the account that a merchant's customers transfer to. The
// names of its fields in errors are those of the JSON tags.
type BankTransferConfig struct {
	// AccountHolder has at most 70 characters, as in SEPA.
	AccountHolder string `json:"account_holder"`
	// IBAN may be empty for an account that has none; Text then names it.
	IBAN string `json:"iban"`
	// BIC may be empty, and for most transfers within Europe is not needed.
	BIC string `json:"bic"`
	// BankName has at most 70 characters and may be empty.
	BankName string `json:"bank_name"`
	// Text is shown beside the account; at most 2,000 characters of plain text.
	Text string `json:"text"`
}

const (
	maxAccountText  = 70
	maxTransferText = 2000
)

// NewBankTransferGateway makes a gateway. What a person may have typed is put into
// the form that computers exchange. The error is a [FieldErrors].
func NewBankTransferGateway(config BankTransferConfig) (*BankTransferGateway, error) {
	config, wrong := config.normalized()
	if len(wrong) > 0 {
		return nil, wrong
	}
	return &BankTransferGateway{config}, nil
}

func (c BankTransferConfig) normalized() (BankTransferConfig, FieldErrors) {
	var wrong FieldErrors
	// What ParseIBAN and parseBIC return is a FieldError.
	add := func(err error) {
		if field := (FieldError{}); errors.As(err, &field) {
			wrong = append(wrong, field)
		}
	}
	c.AccountHolder, c.BankName = strings.TrimSpace(c.AccountHolder), strings.TrimSpace(c.BankName)
	c.Text = strings.TrimSpace(strings.ReplaceAll(c.Text, "\r\n", "\n"))

	if c.AccountHolder == "" {
		add(FieldError{"account_holder", "is required"})
	}
	add(checkText("account_holder", c.AccountHolder, maxAccountText, ""))
	switch c.IBAN = strings.TrimSpace(c.IBAN); {
	case c.IBAN != "":
		var err error
		c.IBAN, err = ParseIBAN(c.IBAN)
		add(err)
	case c.Text == "":
		add(FieldError{"iban", "is required, unless text names the account"})
	}
	if c.BIC = strings.TrimSpace(c.BIC); c.BIC != "" {
		var err error
		c.BIC, err = parseBIC(c.BIC)
		add(err)
	}
	add(checkText("bank_name", c.BankName, maxAccountText, ""))
	add(checkText("text", c.Text, maxTransferText, "\n\t"))
	return c, wrong
}

// checkText refuses control characters, but for those allowed: a line break would
// shift every line of an EPC code.
func checkText(field, text string, most int, allowed string) error {
	switch {
	case !utf8.ValidString(text):
		return FieldError{field, "must be UTF-8"}
	case utf8.RuneCountInString(text) > most:
		return FieldError{field, fmt.Sprintf("must have at most %d characters", most)}
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune(allowed, r) }):
		return FieldError{field, "must not have control characters"}
	}
	return nil
}

// Name returns "bank_transfer".
func (g *BankTransferGateway) Name() string { return MethodBankTransfer }

// Charge is pending, with the instructions for the customer.
func (g *BankTransferGateway) Charge(ctx context.Context, req ChargeRequest) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return Outcome{}, err
	}
	wrong := validateRequest("payment_id", req.PaymentID, req.Amount, req.Currency, req.CreatedAt)
	if !transferNumber.MatchString(req.OrderNumber) {
		wrong = append(wrong, FieldError{"order_number", "must have 1 to 21 digits and capital letters"})
	}
	if req.Card != nil {
		wrong = append(wrong, FieldError{"card", "does not go with a bank transfer"})
	}
	if len(wrong) > 0 {
		return Outcome{}, wrong
	}
	return g.outcome(transferReference{transferCharge, req.Amount, req.Currency, req.OrderNumber, req.PaymentID})
}

// Status is what Charge or Refund answered: this gateway never learns more. The
// instructions name the account as it is configured now.
func (g *BankTransferGateway) Status(ctx context.Context, reference string) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return Outcome{}, err
	}
	r, err := parseTransferReference(reference)
	if err != nil {
		return Outcome{}, err
	}
	return g.outcome(r)
}

// Refund is pending: a person sends the money and confirms.
func (g *BankTransferGateway) Refund(ctx context.Context, req RefundRequest) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return Outcome{}, err
	}
	charge, err := parseTransferReference(req.Reference)
	if err != nil {
		return Outcome{}, err
	}
	if charge.kind != transferCharge {
		return Outcome{}, errTransferReference
	}
	if wrong := validateRefund(req, charge.amount, charge.currency); len(wrong) > 0 {
		return Outcome{}, wrong
	}
	return g.outcome(transferReference{transferRefund, req.Amount, req.Currency, charge.orderNumber, req.RefundID})
}

// ParseCallback refuses everything: nobody calls back about a transfer.
func (g *BankTransferGateway) ParseCallback(http.Header, []byte) (Callback, error) {
	return Callback{}, fmt.Errorf("payment: bank transfer: %w: bank transfers have no callbacks", ErrCallback)
}

// Instructions is what Charge tells the customer, for an order that no payment was begun for. The error is a [FieldErrors].
func (g *BankTransferGateway) Instructions(orderNumber string, amount int64, currency string) (Instructions, error) {
	i, err := BankTransfer(orderNumber, amount, currency)
	if err != nil {
		return Instructions{}, err
	}
	i.AccountHolder, i.IBAN, i.BIC = g.config.AccountHolder, g.config.IBAN, g.config.BIC
	i.BankName, i.Text = g.config.BankName, g.config.Text
	return i, nil
}

func (g *BankTransferGateway) outcome(r transferReference) (Outcome, error) {
	o := Outcome{Status: StatusPending, Reference: r.String(), Amount: r.amount, Currency: r.currency}
	if r.kind == transferRefund {
		return o, nil
	}
	instructions, err := g.Instructions(r.orderNumber, r.amount, r.currency)
	if err != nil {
		return Outcome{}, err
	}
	o.Instructions = &instructions
	return o, nil
}
