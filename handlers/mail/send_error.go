package mail

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
)

// SendError is why a message was not accepted. Servers like to quote the recipient in their answers, so nothing that a
// server wrote is repeated except its status codes.
type SendError struct {
	// Temporary says that a later try may succeed. An answer of 5xx to the message itself is final; everything that
	// an operator can repair without touching the message (connection, certificate, credentials) is temporary.
	Temporary bool
	// Code is the SMTP reply code, or 0 if the server did not get to answer.
	Code int
	// Reason is a sentence for logs, support staff and merchants, without personal data and without the name or the
	// address of a server of ours.
	Reason string

	cause  error  // the error of the caller's context if that ended the try, else nil
	detail string // see Detail
}

// Error returns the reason.
func (e *SendError) Error() string { return "mail: " + e.Reason }

// Unwrap gives errors.Is access to the caller's own cancellation, and to nothing else.
func (e *SendError) Unwrap() error { return e.cause }

// Detail is what the network itself said, with the names and addresses that Reason leaves out, and without personal
// data; empty if Reason says all. It is for the operator's log, and must not be kept where merchants see it.
func (e *SendError) Detail() string { return e.detail }

// invalid is a final error about a field of the message. The value is never repeated.
func invalid(field, problem string) *SendError {
	return &SendError{Reason: field + ": " + problem}
}

// step is a stretch of the SMTP dialogue, named for error texts.
type step string

const (
	stepConnect  step = "connecting"
	stepGreeting step = "greeting"
	stepTLS      step = "starting TLS"
	stepAuth     step = "signing in"
	stepSender   step = "naming the sender"
	stepRcpt     step = "naming the recipient"
	stepContent  step = "sending the content"
)

// refusals say what a refused step means. Steps before the sender speak about us and the server, not about the message.
var refusals = map[step]string{
	stepGreeting: "the server does not talk to us",
	stepTLS:      "the server refused to start TLS",
	stepAuth:     "the server refused the credentials",
	stepSender:   "the server refused the sender",
	stepRcpt:     "the server refused the recipient",
	stepContent:  "the server refused the message",
}

var enhancedCode = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

// classify turns what went wrong at a step into a SendError. ctx is the caller's context, not the one with our timeout.
func classify(ctx context.Context, at step, err error) *SendError {
	if own := (*SendError)(nil); errors.As(err, &own) {
		return own
	}
	if reply := (*textproto.Error)(nil); errors.As(err, &reply) {
		return classifyReply(at, reply)
	}
	e := &SendError{Temporary: true, detail: networkText(err)}
	distrust := certificateProblem(err)
	switch {
	case ctx.Err() != nil:
		e.cause = ctx.Err()
		e.Reason = fmt.Sprintf("cancelled while %s", at)
	case isTimeout(err):
		e.Reason = fmt.Sprintf("the server took too long while %s", at)
	case distrust != "":
		e.Reason = "the server's certificate was not accepted: " + distrust
	case at == stepConnect:
		e.Reason = "the server cannot be reached: " + connectProblem(err)
	default:
		e.Reason = fmt.Sprintf("the connection broke while %s", at)
	}
	return e
}

func classifyReply(at step, reply *textproto.Error) *SendError {
	e := &SendError{Code: reply.Code, Temporary: true}
	status := fmt.Sprintf("%03d", reply.Code)
	if enhanced := enhancedCode.FindString(reply.Msg); enhanced != "" {
		status += " " + enhanced
	}
	what, ok := refusals[at]
	if !ok {
		what = "the server refused to go on"
	}
	switch reply.Code {
	case 530, 534, 535, 538: // authentication wanted, in whatever step the server notices (RFC 4954 §6)
		what = refusals[stepAuth]
	default:
		final := reply.Code/100 == 5 && (at == stepSender || at == stepRcpt || at == stepContent)
		e.Temporary = !final
	}
	if e.Temporary && reply.Code/100 == 4 {
		what += " for now"
	}
	e.Reason = status + ": " + what
	return e
}
