package payment

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"syscall"
)

// noAnswer is a call that no answer came to. Merchants see its text, so the text is from a fixed set and names neither
// a server nor an address.
type noAnswer struct {
	why   string
	cause error
}

func (e *noAnswer) Error() string { return "payment: stripe: no answer: " + e.why }
func (e *noAnswer) Unwrap() error { return e.cause }

// Detail is what the network itself said, with names and addresses of the installation, for the operator's log; empty
// if it said nothing. Other causes are left out, because they may quote the answer.
func (e *noAnswer) Detail() string {
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](e.cause); ok {
		return cert.Error()
	}
	if op, ok := errors.AsType[*net.OpError](e.cause); ok {
		return op.Error()
	}
	return ""
}

// stripeTransportFailure is for what was not an answer of the API. Only errors of
// the transport, of the network and of the context are passed on; the SDK's others
// quote the body.
func stripeTransportFailure(err error) error {
	if transport, ok := errors.AsType[*url.Error](err); ok {
		return &noAnswer{silence(transport.Err), transport.Err}
	}
	_, network := errors.AsType[net.Error](err)
	if network || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &noAnswer{silence(err), err}
	}
	return errors.New("payment: stripe: the answer is not one of Stripe's API")
}

// silence says why no answer came.
func silence(err error) string {
	dns, lookup := errors.AsType[*net.DNSError](err)
	timeout, timed := errors.AsType[net.Error](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	invalid, _ := errors.AsType[x509.CertificateInvalidError](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return "the call was cancelled"
	case errors.Is(err, context.DeadlineExceeded), timed && timeout.Timeout():
		return "it took too long"
	case lookup && dns.IsNotFound:
		return "there is no server of that name"
	case lookup:
		return "the server's name could not be looked up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no way leads to the server's network"
	case otherName:
		return "the certificate is not valid for the server's name"
	case authority:
		return "the certificate is signed by an unknown authority"
	case invalid.Reason == x509.Expired && certificate:
		return "the certificate has expired or is not yet valid"
	case certificate:
		return "the certificate is not valid"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was cut"
	}
	return "the connection failed"
}
