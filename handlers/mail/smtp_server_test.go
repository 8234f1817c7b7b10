package mail

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testUser     = "mailer"
	testPassword = "p@ss/w0rd?"
)

// script is how a fakeServer behaves. The verbs are those of SMTP, "GREETING", and "." for the end of the content.
type script struct {
	replies  map[string]string // instead of the usual answer; used every time
	once     map[string]string // the same, used once per server
	hang     string            // verb after which the server says nothing more
	drop     string            // verb after which the server closes the connection without an answer
	dropNext string            // verb whose answer is the last thing on the connection

	starttls bool
	implicit bool
	auth     []string
	features []string
}

// received is a message as the server got it.
type received struct {
	mailFrom, rcptTo string // whole commands
	data             []byte // dots unstuffed, LF line ends
	tls              bool
	user             string // signed in as
}

// fakeServer is an SMTP server that does as its script says and remembers what it was told.
type fakeServer struct {
	script
	t    *testing.T
	addr string
	port string
	cert tls.Certificate
	pool *x509.CertPool

	stop  chan struct{}
	hung  chan struct{} // receives when the server starts to hang
	group sync.WaitGroup

	mu       sync.Mutex
	conns    []net.Conn
	accepted int
	commands []string
	messages []received
}

func startServer(t *testing.T, s script) *fakeServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &fakeServer{script: s, t: t, addr: ln.Addr().String(), stop: make(chan struct{}), hung: make(chan struct{}, 100)}
	_, srv.port, _ = net.SplitHostPort(srv.addr)
	srv.cert, srv.pool = testCertificate(t)
	srv.group.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			srv.mu.Lock()
			srv.conns = append(srv.conns, conn)
			srv.accepted++
			srv.mu.Unlock()
			srv.group.Go(func() {
				defer conn.Close()
				srv.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		close(srv.stop)
		_ = ln.Close()
		srv.hangUp()
		srv.group.Wait()
	})
	return srv
}

// client is an SMTP for this server; url has %s where the port belongs.
func (srv *fakeServer) client(url string, timeout time.Duration) *SMTP {
	srv.t.Helper()
	s, err := NewSMTP(fmt.Sprintf(url, srv.port), timeout)
	if err != nil {
		srv.t.Fatal(err)
	}
	s.tlsConfig.RootCAs = srv.pool
	srv.t.Cleanup(func() { _ = s.Close() })
	return s
}

// hangUp closes every connection, as a restarted server does.
func (srv *fakeServer) hangUp() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, c := range srv.conns {
		_ = c.Close()
	}
	srv.conns = nil
}

func (srv *fakeServer) received() []received {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return slices.Clone(srv.messages)
}

func (srv *fakeServer) connections() int {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.accepted
}

// heard reports whether any command so far contains s.
func (srv *fakeServer) heard(s string) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return slices.ContainsFunc(srv.commands, func(c string) bool { return strings.Contains(c, s) })
}

// dialogue is one connection.
type dialogue struct {
	srv  *fakeServer
	conn net.Conn
	text *textproto.Reader
	msg  received
	tls  bool
	user string
}

func (srv *fakeServer) serve(conn net.Conn) {
	d := &dialogue{srv: srv}
	if srv.implicit {
		conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{srv.cert}})
		d.tls = true
	}
	d.use(conn)
	if !d.answer("GREETING", "220 fake ESMTP") {
		return
	}
	for {
		line, err := d.text.ReadLine()
		if err != nil {
			return
		}
		srv.mu.Lock()
		srv.commands = append(srv.commands, line)
		srv.mu.Unlock()
		if !d.handle(line) {
			return
		}
	}
}

func (d *dialogue) use(conn net.Conn) {
	d.conn = conn
	d.text = textproto.NewReader(bufio.NewReader(conn))
}

// answer says reply to verb unless the script says otherwise. False ends the connection.
func (d *dialogue) answer(verb, reply string) bool {
	srv := d.srv
	srv.mu.Lock()
	if r, ok := srv.once[verb]; ok {
		reply = r
		delete(srv.once, verb)
	} else if r, ok := srv.replies[verb]; ok {
		reply = r
	}
	srv.mu.Unlock()
	switch verb {
	case srv.hang:
		srv.hung <- struct{}{}
		<-srv.stop
		return false
	case srv.drop:
		return false
	}
	_, err := io.WriteString(d.conn, strings.ReplaceAll(reply, "\n", "\r\n")+"\r\n")
	return err == nil && verb != srv.dropNext && !strings.HasPrefix(reply, "421")
}

func (d *dialogue) handle(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb = strings.ToUpper(verb); verb {
	case "EHLO":
		return d.answer(verb, d.hello())
	case "STARTTLS":
		if !d.answer(verb, "220 go on") {
			return false
		}
		d.use(tls.Server(d.conn, &tls.Config{Certificates: []tls.Certificate{d.srv.cert}}))
		d.tls = true
		return true
	case "AUTH":
		return d.authenticate(rest)
	case "MAIL":
		d.msg = received{mailFrom: line}
		return d.answer(verb, "250 ok")
	case "RCPT":
		d.msg.rcptTo = line
		return d.answer(verb, "250 ok")
	case "DATA":
		return d.content()
	case "RSET":
		d.msg = received{}
		return d.answer(verb, "250 ok")
	case "NOOP":
		return d.answer(verb, "250 ok")
	case "QUIT":
		d.answer(verb, "221 bye")
		return false
	default:
		return d.answer(verb, "502 unknown")
	}
}

func (d *dialogue) hello() string {
	lines := append([]string{"fake"}, d.srv.features...)
	if d.srv.starttls && !d.tls {
		lines = append(lines, "STARTTLS")
	}
	if len(d.srv.auth) > 0 {
		lines = append(lines, "AUTH "+strings.Join(d.srv.auth, " "))
	}
	for i := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		lines[i] = "250" + sep + lines[i]
	}
	return strings.Join(lines, "\n")
}

func (d *dialogue) content() bool {
	if reply, ok := d.srv.replies["DATA"]; ok {
		return d.answer("DATA", reply)
	}
	if !d.answer("DATA", "354 go on") {
		return false
	}
	data, err := d.text.ReadDotBytes()
	if err != nil {
		return false
	}
	d.srv.mu.Lock()
	_, refused := d.srv.replies["."]
	_, refusedOnce := d.srv.once["."]
	if !refused && !refusedOnce && d.srv.drop != "." && d.srv.hang != "." {
		d.msg.data, d.msg.tls, d.msg.user = data, d.tls, d.user
		d.srv.messages = append(d.srv.messages, d.msg)
	}
	d.srv.mu.Unlock()
	return d.answer(".", "250 2.0.0 queued")
}

func (d *dialogue) authenticate(args string) bool {
	mechanism, initial, _ := strings.Cut(args, " ")
	ok := false
	switch mechanism {
	case "PLAIN":
		ok = decode(initial) == "\x00"+testUser+"\x00"+testPassword
	case "LOGIN":
		ok = d.ask("Username:") == testUser && d.ask("Password:") == testPassword
	case "CRAM-MD5":
		mac := hmac.New(md5.New, []byte(testPassword))
		mac.Write([]byte("<challenge@fake>"))
		ok = d.ask("<challenge@fake>") == testUser+" "+hex.EncodeToString(mac.Sum(nil))
	}
	if !ok {
		return d.answer("AUTH", "535 5.7.8 bad credentials for "+testUser)
	}
	d.user = testUser
	return d.answer("AUTH", "235 2.7.0 welcome")
}

func (d *dialogue) ask(challenge string) string {
	fmt.Fprintf(d.conn, "334 %s\r\n", base64.StdEncoding.EncodeToString([]byte(challenge)))
	line, _ := d.text.ReadLine()
	return decode(line)
}

func decode(s string) string {
	raw, _ := base64.StdEncoding.DecodeString(s)
	return string(raw)
}

// testCertificate is a certificate for 127.0.0.1 and localhost that only its own pool trusts.
func testCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fake"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
