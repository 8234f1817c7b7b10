package payment

import (
	"fmt"
	"regexp"
	"strconv"
)

// transferReference is all that the bank transfer gateway knows about a charge or
// a refund. It travels inside the reference, so that the gateway needs no memory:
//
//	transfer.9800EUR.A0000000123.pay_0192f0c1
type transferReference struct {
	kind        transferKind
	amount      int64
	currency    string
	orderNumber string
	id          string
}

type transferKind string

const (
	transferCharge transferKind = "transfer"
	transferRefund transferKind = "transfer_refund"
)

var (
	transferNumber  = regexp.MustCompile(`^[0-9A-Z]{1,21}$`)
	transferPattern = regexp.MustCompile(`^(transfer|transfer_refund)\.([0-9]{1,19})([A-Z]{3})\.([0-9A-Z]{1,21})\.([A-Za-z0-9_-]{1,64})$`)

	errTransferReference = fmt.Errorf("payment: bank transfer: %w", ErrReference)
)

func (r transferReference) String() string {
	return fmt.Sprintf("%s.%d%s.%s.%s", r.kind, r.amount, r.currency, r.orderNumber, r.id)
}

// parseTransferReference reads back what String wrote, and nothing else.
func parseTransferReference(text string) (transferReference, error) {
	m := transferPattern.FindStringSubmatch(text)
	if m == nil {
		return transferReference{}, errTransferReference
	}
	amount, err := strconv.ParseInt(m[2], 10, 64)
	r := transferReference{transferKind(m[1]), amount, m[3], m[4], m[5]}
	if err != nil || amount == 0 || r.String() != text {
		return transferReference{}, errTransferReference
	}
	return r, nil
}
