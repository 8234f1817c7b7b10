package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

const (
	defaultTimeout   = 15 * time.Second
	excerptWait      = 2 * time.Second
	maxHeaderBytes   = 64 << 10
	idlePerHost      = 256 // as many as a large worker has requests under way at one server; Go's default of 2 means a new connection for nearly every delivery
	idleTotal        = 1024
	idleTimeout      = 90 * time.Second
	defaultUserAgent = "Purser"
)

// Config is what a [Sender] is built from. The zero value works and reaches
// public addresses only.
type Config struct {
	UserAgent string        // "Purser/VERSION"; "Purser" if empty
	Timeout   time.Duration // from the start of Send to the answer's headers; 15 s if zero

	// AllowedPrivateNets may be reached by requests with AllowPrivate, besides
	// public addresses. Cloud metadata, link-local and multicast addresses stay
	// closed even when one of these networks contains them.
	AllowedPrivateNets []netip.Prefix

	Resolver *net.Resolver  // nil means Go's default
	RootCAs  *x509.CertPool // nil means the system's

	// Connecting, if set, is told of each address that may be dialled, right
	// before it is; an error stops the dial. It can forbid, and allows nothing.
	Connecting func(netip.AddrPort) error

	excerptWait time.Duration    // for tests; excerptWait if zero
	now         func() time.Time // for tests; time.Now if nil
}

// Sender sends requests to addresses that merchants chose. It is safe for
// concurrent use, keeps connections for reuse, uses no proxy, follows no
// redirect and keeps no cookie. Make one per process and Close it at the end.
//
// One thing escapes it: when a server sends more than its answer announced,
// net/http prints the surplus with the standard log package ("Unsolicited
// response received …"). It can be an echo of the request, so the process must
// not let that line through to its log.
type Sender struct {
	userAgent   string
	timeout     time.Duration
	excerptWait time.Duration
	now         func() time.Time

	// Requests that may reach private networks have connections of their own:
	// a shared pool would hand a connection that was rightly opened for one
	// merchant to another merchant who may not have it.
	public, private *lane
}

// lane is one set of allowed addresses with the connections opened under it.
type lane struct {
	guard     *guard
	transport *http.Transport
}

// NewSender returns a Sender. It opens nothing until the first Send.
func NewSender(c Config) *Sender {
	s := &Sender{userAgent: c.UserAgent, timeout: c.Timeout, excerptWait: c.excerptWait, now: c.now}
	if s.userAgent == "" {
		s.userAgent = defaultUserAgent
	}
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	if s.excerptWait <= 0 {
		s.excerptWait = excerptWait
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.public = newLane(c, s.timeout, nil)
	s.private = newLane(c, s.timeout, c.AllowedPrivateNets)
	return s
}

func newLane(c Config, timeout time.Duration, opened []netip.Prefix) *lane {
	g := newGuard(opened)
	g.connecting = c.Connecting
	// The transport goes on dialling after a request gave up, so that the next
	// one finds a connection; both halves of a dial need an end of their own.
	dialer := &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second, Resolver: c.Resolver, Control: g.control}
	return &lane{guard: g, transport: &http.Transport{
		Proxy:                  nil, // a proxy would resolve and dial in our place, unguarded
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    timeout,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
		ForceAttemptHTTP2:      true, // a custom DialContext turns HTTP/2 off otherwise
		DisableCompression:     true,
		MaxIdleConns:           idleTotal,
		MaxIdleConnsPerHost:    idlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		// Without pings a peer that vanished would fail every delivery that shares
		// its connection until the kernel gives the connection up, minutes later.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}}
}

// Close closes the idle connections. Sends that are under way finish.
func (s *Sender) Close() {
	s.public.transport.CloseIdleConnections()
	s.private.transport.CloseIdleConnections()
}

// CheckURL is [ValidateURL] and then the question whether the URL names, by
// itself, an address that this Sender would refuse to dial: an IP address or
// "localhost". Such an error wraps [ErrForbidden]. A name that resolves to a
// forbidden address passes here and is refused when it is dialled.
func (s *Sender) CheckURL(raw string, allowPrivate bool) error {
	u, err := parseURL(raw)
	if err != nil {
		return err
	}
	return s.lane(allowPrivate).guard.checkHost(u)
}

// Request is one request to a merchant's server.
type Request struct {
	URL    string
	Method string      // POST if empty
	Header http.Header // is not changed; see [Header] for the signature
	Body   []byte      // application/json unless Header says otherwise

	// AllowPrivate lets this request reach Config.AllowedPrivateNets too. Set
	// for merchants that an operator created with --allow-private-targets.
	AllowPrivate bool

	// MaxBody, in bytes, is for callers that need the answer and not only its
	// status: Result.Body then holds the whole body of a 2xx answer, and an
	// answer that is longer, compressed or not complete within the timeout is
	// no success. Zero means that any 2xx is a success, whatever its body.
	MaxBody int
}

// Result is what came of one request.
type Result struct {
	Success    bool // a 2xx answer
	Gone       bool // 410: the receiver wants no more
	StatusCode int  // 0 without an answer
	Duration   time.Duration
	RetryAfter time.Duration // what a failing answer asked for, 0 to 24 h

	// Error is empty on success, else one of the Fail texts, "status N" or
	// another short text from a fixed set. It never holds any part of the
	// request or of the answer.
	Error string

	// Excerpt is the beginning of the answer, valid UTF-8 without control
	// characters, at most 2 KiB. It is the merchant's data: servers echo what
	// they were sent, so store and show it, never log it. Empty where Body is set.
	Excerpt string

	Body []byte // only on success with Request.MaxBody
}

// Send sends one request once and never fails otherwise than by its Result.
// It returns at the latest when ctx ends, or after the timeout plus the two
// seconds that an excerpt may take. The verdict comes from the answer's status:
// a body that is large, slow, endless or compressed neither spoils a 2xx nor
// delays it beyond those two seconds.
func (s *Sender) Send(ctx context.Context, r Request) Result {
	lane := s.lane(r.AllowPrivate)
	target, err := parseURL(r.URL)
	if err != nil {
		return Result{Error: FailURL}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	timer := time.AfterFunc(s.timeout, func() { stop(errTimeout) })
	defer timer.Stop()

	req, err := s.request(ctx, target, r)
	if err != nil {
		return Result{Error: FailRequest}
	}
	begun := time.Now()
	// RoundTrip and not a Client: it follows no redirect by construction.
	resp, err := lane.transport.RoundTrip(req)
	if err != nil {
		return Result{Duration: time.Since(begun), Error: failure(ctx, err)}
	}
	defer resp.Body.Close()

	result := s.verdict(resp)
	if result.Success && r.MaxBody > 0 {
		result.Body, result.Error = wholeBody(ctx, resp, r.MaxBody)
		result.Success = result.Error == ""
		result.Duration = time.Since(begun)
		return result
	}
	result.Duration = time.Since(begun)
	timer.Stop()
	if resp.StatusCode != http.StatusSwitchingProtocols { // there the "body" is the bare connection
		wait := time.AfterFunc(s.excerptWait, func() { stop(errTimeout) })
		defer wait.Stop()
		result.Excerpt = excerpt(resp.Body)
	}
	return result
}

func (s *Sender) lane(allowPrivate bool) *lane {
	if allowPrivate {
		return s.private
	}
	return s.public
}

func (s *Sender) request(ctx context.Context, target *url.URL, r Request) (*http.Request, error) {
	method := r.Method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = append([]string(nil), values...)
	}
	setDefault(req.Header, "User-Agent", s.userAgent)
	if len(r.Body) > 0 {
		setDefault(req.Header, "Content-Type", "application/json")
	}
	// Said aloud, because without the header a server may choose any coding.
	req.Header.Set("Accept-Encoding", "identity")
	if req.Header.Get(HeaderID) != "" && req.Header.Get("Idempotency-Key") == "" {
		// Tells net/http, and is not sent: the receiver can deduplicate, so the
		// request may go out again when a kept connection turns out to be dead.
		req.Header["Idempotency-Key"] = []string{}
	}
	return req, nil
}

func setDefault(h http.Header, name, value string) {
	if h.Get(name) == "" {
		h.Set(name, value)
	}
}
