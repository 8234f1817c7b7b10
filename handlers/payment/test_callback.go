package payment

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// TestSignatureHeader carries the signature of a test gateway's callback in the
// form of Stripe's: t=<Unix seconds>,v1=<hex HMAC-SHA256 of "t.body">.
const TestSignatureHeader = "Purser-Test-Signature"

const (
	// callbackTolerance is how old, or ahead, a callback may be.
	callbackTolerance = 5 * time.Minute
	maxCallbackBody   = 64 << 10
)

// testCallback is the body of a callback.
type testCallback struct {
	ID          string      `json:"id"`
	Reference   string      `json:"reference"`
	Status      Status      `json:"status"`
	FailureCode FailureCode `json:"failure_code,omitempty"`
	Amount      int64       `json:"amount"`
	Currency    string      `json:"currency"`
}

// Callback returns what the test gateway sends to its callback URL when a charge
// reaches its end: the charge with the delayed card once Outcome.PollAfter has
// passed, or one whose confirmation was answered. It fails for an outcome that is
// not final, and wraps [ErrReference] for one of another gateway.
func (g *Test) Callback(outcome Outcome) (http.Header, []byte, error) {
	if _, err := parseTestReference(outcome.Reference); err != nil {
		return nil, nil, err
	}
	if !outcome.Status.Final() {
		return nil, nil, errors.New("payment: test gateway: a callback needs a final outcome")
	}
	body, err := json.Marshal(testCallback{
		// Derived, so that a repeated callback is recognisable.
		ID:        outcome.Reference + "." + string(outcome.Status),
		Reference: outcome.Reference, Status: outcome.Status, FailureCode: outcome.FailureCode,
		Amount: outcome.Amount, Currency: outcome.Currency,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("payment: test gateway: encode callback: %w", err)
	}
	stamp := strconv.FormatInt(g.config.Now().Unix(), 10)
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set(TestSignatureHeader, "t="+stamp+",v1="+hex.EncodeToString(g.sign(stamp, body)))
	return header, body, nil
}

// ParseCallback accepts what [Test.Callback] made within the last five minutes.
func (g *Test) ParseCallback(header http.Header, body []byte) (Callback, error) {
	if len(body) > maxCallbackBody {
		return Callback{}, callbackError("the body is longer than %d bytes", maxCallbackBody)
	}
	stamped, hasStamp := strings.CutPrefix(header.Get(TestSignatureHeader), "t=")
	stamp, signature, hasSignature := strings.Cut(stamped, ",v1=")
	if !hasStamp || !hasSignature {
		return Callback{}, callbackError("the header %s is missing or not t=…,v1=…", TestSignatureHeader)
	}
	mac, err := hex.DecodeString(signature)
	if err != nil || !hmac.Equal(mac, g.sign(stamp, body)) {
		return Callback{}, callbackError("the signature does not match")
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return Callback{}, callbackError("the timestamp is not in Unix seconds")
	}
	if age := g.config.Now().Sub(time.Unix(seconds, 0)); age.Abs() > callbackTolerance {
		return Callback{}, callbackError("the timestamp is more than %s off", callbackTolerance)
	}
	return readTestCallback(body)
}

// readTestCallback reads a body whose signature was right.
func readTestCallback(body []byte) (Callback, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	var c testCallback
	if err := dec.Decode(&c); err != nil {
		return Callback{}, callbackError("the body is not a callback of the test gateway")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Callback{}, callbackError("something follows the body's object")
	}
	r, err := parseTestReference(c.Reference)
	if err != nil {
		return Callback{}, callbackError("the reference is unknown")
	}
	if !c.Status.Final() {
		return Callback{}, callbackError("the status is not final")
	}
	outcome := Outcome{Status: c.Status, Reference: c.Reference, Amount: c.Amount, Currency: c.Currency}
	if c.Status == StatusFailed {
		outcome.FailureCode, outcome.FailureMessage = c.FailureCode, c.FailureCode.Message()
	}
	if r.kind == kindRefund {
		return Callback{ID: c.ID, Subject: SubjectRefund, Outcome: outcome, RefundID: r.id}, nil
	}
	return Callback{ID: c.ID, Subject: SubjectCharge, Outcome: outcome, PaymentID: r.id}, nil
}

func (g *Test) sign(stamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, g.config.CallbackSecret)
	mac.Write([]byte(stamp))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}

func callbackError(format string, args ...any) error {
	return fmt.Errorf("payment: test gateway: %w: "+format, append([]any{ErrCallback}, args...)...)
}
