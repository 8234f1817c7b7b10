package payment

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// testReference is all that the test gateway knows about a charge or a refund. It
// travels inside the reference, so that the gateway needs no memory:
//
//	test.insufficient_funds.1795350615000.9800EUR.pay_0192f0c1
type testReference struct {
	kind      testKind
	createdAt time.Time // whole milliseconds, UTC
	amount    int64
	currency  string
	id        string
}

// testKind is how a charge or refund goes.
type testKind string

const (
	kindSucceeds testKind = "succeeds"
	kindConfirm  testKind = "confirm" // succeeds or fails by the customer's answer
	kindDelayed  testKind = "delayed" // succeeds after testDelay
	kindRefund   testKind = "refund"
	// Every other kind is the failure code of a charge that fails.
)

// testDelay is how long a delayed charge stays processing.
const testDelay = 2 * time.Second

var testReferencePattern = regexp.MustCompile(`^test\.([a-z_]{1,32})\.([0-9]{1,15})\.([0-9]{1,19})([A-Z]{3})\.([A-Za-z0-9_-]{1,64})$`)

func newTestReference(kind testKind, id string, amount int64, currency string, createdAt time.Time) testReference {
	// Cut to what String keeps, so that a first answer and a later one agree.
	return testReference{kind, createdAt.UTC().Truncate(time.Millisecond), amount, currency, id}
}

func (r testReference) String() string {
	return fmt.Sprintf("test.%s.%d.%d%s.%s", r.kind, r.createdAt.UnixMilli(), r.amount, r.currency, r.id)
}

// parseTestReference reads back what String wrote, and nothing else.
func parseTestReference(text string) (testReference, error) {
	unknown := fmt.Errorf("payment: test gateway: %w", ErrReference)
	m := testReferencePattern.FindStringSubmatch(text)
	if m == nil {
		return testReference{}, unknown
	}
	millis, errTime := strconv.ParseInt(m[2], 10, 64)
	amount, errAmount := strconv.ParseInt(m[3], 10, 64)
	r := testReference{kind: testKind(m[1]), createdAt: time.UnixMilli(millis).UTC(), amount: amount, currency: m[4], id: m[5]}
	if errTime != nil || errAmount != nil || amount == 0 || !r.kind.known() || r.String() != text {
		return testReference{}, unknown
	}
	return r, nil
}

func (k testKind) known() bool {
	switch k {
	case kindSucceeds, kindConfirm, kindDelayed, kindRefund:
		return true
	}
	_, ok := failureMessages[FailureCode(k)]
	return ok
}
