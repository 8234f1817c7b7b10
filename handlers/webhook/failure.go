package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Texts of [Result].Error that callers may want to tell apart. They are shown to
// merchants and kept, so they come from this file and never quote an error that
// could contain a URL, a header or an address.
const (
	FailURL       = "invalid url"
	FailRequest   = "invalid request" // a method or header that HTTP does not allow
	FailForbidden = "forbidden address"
	FailTimeout   = "timeout"
	FailCancelled = "cancelled" // the caller's context ended, nothing is known of the receiver
	FailRedirect  = "redirects are not followed"
	FailTooLarge  = "answer is too large"                   // only with Request.MaxBody
	FailEncoding  = "answer has an unwanted content coding" // only with Request.MaxBody
	FailCutOff    = "answer was cut off"                    // only with Request.MaxBody
)

var errTimeout = errors.New(FailTimeout)

// Temporary reports whether the same request may well succeed later: there was
// no whole answer, or the answer was 408, 425, 429 or 5xx. It is false for
// successes, for other answers, and for what only a person can put right, such
// as a forbidden address.
func (r Result) Temporary() bool {
	if r.Success {
		return false
	}
	switch r.Error {
	case FailURL, FailRequest, FailForbidden, FailTooLarge, FailEncoding:
		return false
	}
	switch code := r.StatusCode; code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	default:
		return code == 0 || code >= 500 || (code >= 200 && code < 300)
	}
}

// failure puts an error of the transport into one of a fixed set of texts.
func failure(ctx context.Context, err error) string {
	if errors.Is(err, ErrForbidden) {
		return FailForbidden
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTimeout), errors.Is(cause, context.DeadlineExceeded):
		return FailTimeout
	case cause != nil:
		return FailCancelled
	}
	if text := tlsFailure(err); text != "" {
		return text
	}
	return connectionFailure(err)
}

func connectionFailure(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		switch {
		case dns.IsNotFound:
			return "host not found"
		case dns.IsTimeout:
			return "host lookup timed out"
		}
		return "host lookup failed"
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return FailTimeout
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "host unreachable"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed without an answer"
	}
	// net/http has no types for these; a changed text only makes ours vaguer.
	switch text := err.Error(); {
	case strings.Contains(text, "net/http: invalid "):
		return FailRequest
	case strings.Contains(text, "response headers exceeded"), strings.Contains(text, "response header list larger"):
		return "answer headers are too large"
	case strings.Contains(text, "malformed "):
		return "answer is not HTTP"
	}
	return "connection failed"
}

// tlsFailure is empty if err is not about TLS.
func tlsFailure(err error) string {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return "tls: the server does not speak TLS on this port"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "tls: the server does not speak TLS on this port"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "tls: certificate signed by an unknown authority"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "tls: certificate is for another host name"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "tls: certificate has expired or is not yet valid"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "tls: certificate is not valid"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return op.Err.Error() // an alert: crypto/tls has a table of texts, "tls: …"
	}
	if strings.Contains(err.Error(), "tls: ") {
		return "tls: handshake failed"
	}
	return ""
}
