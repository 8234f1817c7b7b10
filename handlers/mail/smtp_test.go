package mail

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	plainURL = "smtp://127.0.0.1:%s"
	authURL  = "smtp://mailer:p%%40ss%%2Fw0rd%%3F@127.0.0.1:%s"
	patience = 10 * time.Second // for what should be quick
)

func testMessage() Message {
	return Message{
		From: "shop@acme.example", FromName: "Acme", To: "ada.private@customer.example",
		Subject: "Hello", Text: "Hello\n", HTML: "<p>Hello</p>",
		MessageID: MessageID("eml_1", "acme.example"), Date: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
	}
}

// wantSendError checks what holds for every failure and returns it.
func wantSendError(t *testing.T, err error) *SendError {
	t.Helper()
	var sendErr *SendError
	if !errors.As(err, &sendErr) {
		t.Fatalf("got %v (%T), want a *SendError", err, err)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, private := range []string{"ada.private", "customer.example", testPassword, testUser, "Hello", "secret words"} {
			if strings.Contains(fmt.Sprintf("%v %+v %#v", e, e, e), private) {
				t.Errorf("error %#v tells %q", e, private)
			}
		}
	}
	return sendErr
}

func TestSendRefusals(t *testing.T) {
	t.Parallel()
	const echo = " <ada.private@customer.example>: secret words"
	tests := []struct {
		name      string
		script    script
		temporary bool
		code      int
		reason    string
	}{
		{"greylisted recipient", script{replies: map[string]string{"RCPT": "450 4.2.0" + echo}}, true, 450, "450 4.2.0: the server refused the recipient for now"},
		{"unknown recipient", script{replies: map[string]string{"RCPT": "550 5.1.1" + echo}}, false, 550, "550 5.1.1: the server refused the recipient"},
		{"recipient refused without enhanced code", script{replies: map[string]string{"RCPT": "553" + echo}}, false, 553, "553: the server refused the recipient"},
		{"number in the text is no enhanced code", script{replies: map[string]string{"RCPT": "550 ada.private 5.1.1" + echo}}, false, 550, "550: the server refused the recipient"},
		{"several lines", script{replies: map[string]string{"RCPT": "550-5.1.1 no" + echo + "\n550 5.1.1 really" + echo}}, false, 550, "550 5.1.1: the server refused the recipient"},
		{"sender refused", script{replies: map[string]string{"MAIL": "550 5.7.1" + echo}}, false, 550, "550 5.7.1: the server refused the sender"},
		{"sender limit", script{replies: map[string]string{"MAIL": "451 4.3.0" + echo}}, true, 451, "451 4.3.0: the server refused the sender for now"},
		{"sign in first", script{replies: map[string]string{"MAIL": "530 5.7.0" + echo}}, true, 530, "530 5.7.0: the server refused the credentials"},
		{"no data", script{replies: map[string]string{"DATA": "554 5.5.1" + echo}}, false, 554, "554 5.5.1: the server refused the message"},
		{"content refused", script{replies: map[string]string{".": "550 5.7.1" + echo}}, false, 550, "550 5.7.1: the server refused the message"},
		{"content later", script{replies: map[string]string{".": "452 4.3.1" + echo}}, true, 452, "452 4.3.1: the server refused the message for now"},
		{"closing down", script{replies: map[string]string{"RCPT": "421 4.3.2" + echo}}, true, 421, "421 4.3.2: the server refused the recipient for now"},
		{"does not greet", script{replies: map[string]string{"GREETING": "554 5.7.1" + echo}}, true, 554, "554 5.7.1: the server does not talk to us"},
		{"busy", script{replies: map[string]string{"GREETING": "421" + echo}}, true, 421, "421: the server does not talk to us for now"},
		{"no hello", script{replies: map[string]string{"EHLO": "500" + echo, "HELO": "500" + echo}}, true, 500, "500: the server does not talk to us"},
		{"not SMTP", script{replies: map[string]string{"GREETING": "HTTP/1.1 400 secret words"}}, true, 0, "the connection broke while greeting"},
		{"a code that means nothing", script{replies: map[string]string{"RCPT": "354" + echo}}, true, 354, "354: the server refused the recipient"},
		{"breaks off before the content", script{drop: "DATA"}, true, 0, "the connection broke while sending the content"},
		{"breaks off after the content", script{drop: "."}, true, 0, "the connection broke while sending the content"},
		{"breaks off at the greeting", script{drop: "GREETING"}, true, 0, "the connection broke while greeting"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, tt.script)
			err := wantSendError(t, srv.client(plainURL, patience).Send(t.Context(), testMessage()))
			if err.Temporary != tt.temporary || err.Code != tt.code || err.Reason != tt.reason {
				t.Errorf("got temporary=%v code=%d %q,\nwant temporary=%v code=%d %q",
					err.Temporary, err.Code, err.Reason, tt.temporary, tt.code, tt.reason)
			}
			if n := len(srv.received()); n != 0 {
				t.Errorf("%d messages were accepted all the same", n)
			}
		})
	}
}

func TestSendAcceptedIsSuccessWhateverFollows(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]script{
		"connection breaks afterwards": {dropNext: "."},
		"RSET refused":                 {replies: map[string]string{"RSET": "500 no"}},
		"QUIT refused":                 {replies: map[string]string{"QUIT": "500 no"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, s)
			client := srv.client(plainURL, patience)
			for n := 1; n <= 3; n++ {
				if err := client.Send(t.Context(), testMessage()); err != nil {
					t.Fatalf("message %d: %v", n, err)
				}
				if got := len(srv.received()); got != n {
					t.Fatalf("after %d messages the server has %d", n, got)
				}
			}
		})
	}
}

func TestSendTimesOut(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"GREETING", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "."} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, script{hang: verb, starttls: true, auth: []string{"PLAIN"}})
			start := time.Now()
			err := wantSendError(t, srv.client(authURL, 300*time.Millisecond).Send(t.Context(), testMessage()))
			if took := time.Since(start); took > patience {
				t.Errorf("took %v", took)
			}
			if !err.Temporary || err.Code != 0 || !strings.Contains(err.Reason, "took too long") {
				t.Errorf("got %+v", err)
			}
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				t.Errorf("%v looks like the caller's own doing", err)
			}
		})
	}
}

func TestSendCancelled(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"GREETING", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "."} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, script{hang: verb, starttls: true, auth: []string{"PLAIN"}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				<-srv.hung
				cancel()
			}()
			err := wantSendError(t, srv.client(authURL, time.Hour).Send(ctx, testMessage()))
			if !err.Temporary || !errors.Is(err, context.Canceled) {
				t.Errorf("got %+v", err)
			}
		})
	}
}

func TestSendBoundByCallersDeadline(t *testing.T) {
	t.Parallel()
	srv := startServer(t, script{hang: "RCPT"})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := wantSendError(t, srv.client(plainURL, time.Hour).Send(ctx, testMessage()))
	if !err.Temporary {
		t.Errorf("got %+v", err)
	}
}

func TestSendNobodyThere(t *testing.T) {
	t.Parallel()
	srv := startServer(t, script{})
	client := srv.client(plainURL, patience)
	client.server.port = "1"
	err := wantSendError(t, client.Send(t.Context(), testMessage()))
	if !err.Temporary || err.Code != 0 || !strings.Contains(err.Reason, "cannot be reached") {
		t.Errorf("got %+v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := wantSendError(t, srv.client(plainURL, patience).Send(ctx, testMessage())); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled beforehand: %+v", err)
	}
	if srv.connections() != 0 {
		t.Errorf("%d connections, want none", srv.connections())
	}
}

func TestSendEncrypts(t *testing.T) {
	t.Parallel()
	plainAuth := []string{"PLAIN"}
	tests := []struct {
		name      string
		url       string
		script    script
		loopback  bool // what the client believes of the host
		untrusted bool
		wantTLS   bool
		wantErr   string
	}{
		{"credentials: STARTTLS", authURL, script{starttls: true, auth: plainAuth}, true, false, true, ""},
		{"credentials: no STARTTLS", authURL, script{auth: plainAuth}, true, false, false, "TLS is required"},
		{"credentials: bad certificate", authURL, script{starttls: true, auth: plainAuth}, true, true, false, "certificate was not accepted"},
		{"required: no STARTTLS", plainURL + "?tls=required", script{}, true, false, false, "TLS is required"},
		{"required: STARTTLS refused", plainURL + "?tls=required", script{starttls: true, replies: map[string]string{"STARTTLS": "454 4.7.0 no"}}, true, false, false, "454 4.7.0: the server refused to start TLS for now"},
		{"opportunistic: STARTTLS", plainURL + "?tls=opportunistic", script{starttls: true}, true, false, true, ""},
		{"opportunistic: plain", plainURL + "?tls=opportunistic", script{}, false, false, false, ""},
		{"opportunistic: bad certificate", plainURL + "?tls=opportunistic", script{starttls: true}, true, true, false, "certificate was not accepted"},
		{"opportunistic: credentials stay here", authURL + "?tls=opportunistic", script{auth: plainAuth}, false, false, false, "not sent in plain text"},
		{"opportunistic: credentials on loopback", authURL + "?tls=opportunistic", script{auth: plainAuth}, true, false, false, ""},
		{"none: although offered", plainURL + "?tls=none", script{starttls: true}, false, false, false, ""},
		{"none: credentials as told", authURL + "?tls=none", script{auth: plainAuth}, false, false, false, ""},
		{"loopback without credentials", plainURL, script{starttls: true}, true, false, false, ""},
		{"implicit", "smtps://127.0.0.1:%s", script{implicit: true}, true, false, true, ""},
		{"implicit: localhost by name", "smtps://localhost:%s", script{implicit: true}, true, false, true, ""},
		{"implicit: credentials", strings.Replace(authURL, "smtp:", "smtps:", 1), script{implicit: true, auth: plainAuth}, false, false, true, ""},
		{"implicit: bad certificate", "smtps://127.0.0.1:%s", script{implicit: true}, true, true, false, "certificate was not accepted"},
		{"implicit: server speaks plain", "smtps://127.0.0.1:%s", script{}, true, false, false, "the connection broke while starting TLS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, tt.script)
			client := srv.client(tt.url, patience)
			client.server.loopback = tt.loopback
			if tt.untrusted {
				client.tlsConfig.RootCAs = x509.NewCertPool()
			}
			err := client.Send(t.Context(), testMessage())
			if tt.wantErr != "" {
				sendErr := wantSendError(t, err)
				if !sendErr.Temporary || !strings.Contains(sendErr.Reason, tt.wantErr) {
					t.Errorf("got %+v, want a temporary error with %q", sendErr, tt.wantErr)
				}
				if srv.heard("AUTH") || srv.heard("MAIL") || len(srv.received()) > 0 {
					t.Errorf("the server was told %q", srv.commands)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := srv.received()
			if len(got) != 1 || got[0].tls != tt.wantTLS {
				t.Fatalf("got %+v, want one message with tls=%v", got, tt.wantTLS)
			}
			if wantUser := strings.Contains(tt.url, "mailer"); (got[0].user == testUser) != wantUser {
				t.Errorf("signed in as %q, want credentials used: %v", got[0].user, wantUser)
			}
		})
	}
}

func TestSendSignsIn(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		url     string
		offered []string
		chosen  string
		wantErr string
	}{
		{"plain", authURL, []string{"LOGIN", "PLAIN"}, "AUTH PLAIN", ""},
		{"login", authURL, []string{"XOAUTH2", "LOGIN"}, "AUTH LOGIN", ""},
		{"cram-md5", authURL, []string{"CRAM-MD5"}, "AUTH CRAM-MD5", ""},
		{"in plain text the password stays hidden", authURL + "?tls=none", []string{"PLAIN", "LOGIN", "CRAM-MD5"}, "AUTH CRAM-MD5", ""},
		{"nothing we know", authURL, []string{"GSSAPI"}, "", "no way to sign in"},
		{"nothing at all", authURL, nil, "", "no way to sign in"},
		{"wrong password", "smtp://mailer:wrong@127.0.0.1:%s", []string{"PLAIN"}, "AUTH PLAIN", "535 5.7.8: the server refused the credentials"},
		{"wrong login", "smtp://mailer:wrong@127.0.0.1:%s", []string{"LOGIN"}, "AUTH LOGIN", "535 5.7.8: the server refused the credentials"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, script{starttls: true, auth: tt.offered})
			err := srv.client(tt.url, patience).Send(t.Context(), testMessage())
			if tt.wantErr == "" && err != nil {
				t.Fatal(err)
			}
			if tt.wantErr != "" {
				// The operator repairs credentials; the message is not to blame.
				if sendErr := wantSendError(t, err); !sendErr.Temporary || !strings.Contains(sendErr.Reason, tt.wantErr) {
					t.Errorf("got %+v, want %q", sendErr, tt.wantErr)
				}
			}
			if tt.chosen != "" && !srv.heard(tt.chosen) || tt.chosen == "" && srv.heard("AUTH") {
				t.Errorf("the server heard %q, want %q", srv.commands, tt.chosen)
			}
			if got := len(srv.received()); (got == 1) != (tt.wantErr == "") {
				t.Errorf("%d messages", got)
			}
		})
	}
}

func TestSendInternationalAddresses(t *testing.T) {
	t.Parallel()
	utf8 := []string{"SMTPUTF8", "8BITMIME"}
	tests := []struct {
		name     string
		to       string
		features []string
		wantRcpt string
		wantUTF8 bool
		wantErr  bool
	}{
		{"ASCII asks for nothing", "ada@customer.example", utf8, "RCPT TO:<ada@customer.example>", false, false},
		{"domain becomes ASCII", "ada@bücher.example", utf8, "RCPT TO:<ada@xn--bcher-kva.example>", false, false},
		{"domain without SMTPUTF8", "ada@bücher.example", nil, "RCPT TO:<ada@xn--bcher-kva.example>", false, false},
		{"local part", "адa@bücher.example", utf8, "RCPT TO:<адa@xn--bcher-kva.example>", true, false},
		{"local part without SMTPUTF8", "адa@bücher.example", nil, "", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, script{features: tt.features})
			m := testMessage()
			m.To = tt.to
			err := srv.client(plainURL, patience).Send(t.Context(), m)
			if tt.wantErr {
				if sendErr := wantSendError(t, err); sendErr.Temporary || strings.Contains(sendErr.Reason, "адa") {
					t.Errorf("got %+v, want a final error", sendErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := srv.received()[0]
			if got.rcptTo != tt.wantRcpt || strings.Contains(got.mailFrom, "SMTPUTF8") != tt.wantUTF8 {
				t.Errorf("got %q and %q", got.mailFrom, got.rcptTo)
			}
		})
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	srv := startServer(t, script{starttls: true, auth: []string{"PLAIN"}, once: map[string]string{"RCPT": "550 5.1.1 no"}})
	client := srv.client(authURL, patience)
	wantSendError(t, client.Send(t.Context(), testMessage()))
	for range 5 {
		if err := client.Send(t.Context(), testMessage()); err != nil {
			t.Fatal(err)
		}
	}
	if got := srv.connections(); got != 1 {
		t.Errorf("%d connections for six messages, want 1", got)
	}
	for i, m := range srv.received() {
		if m.user != testUser || !m.tls || m.rcptTo == "" {
			t.Errorf("message %d: %+v", i, m)
		}
	}
	if got := len(srv.received()); got != 5 {
		t.Errorf("%d messages, want 5", got)
	}
}

func TestStaleConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(srv *fakeServer){
		"server restarted": func(srv *fakeServer) { srv.hangUp() },
		"server says 421": func(srv *fakeServer) {
			srv.mu.Lock()
			srv.once = map[string]string{"RSET": "421 4.4.2 idle for too long"}
			srv.mu.Unlock()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, script{})
			client := srv.client(plainURL, patience)
			for n := 1; n <= 2; n++ {
				if err := client.Send(t.Context(), testMessage()); err != nil {
					t.Fatal(err)
				}
				if got := len(srv.received()); got != n {
					t.Fatalf("%d messages after %d", got, n)
				}
				spoil(srv)
			}
			if got := srv.connections(); got != 2 {
				t.Errorf("%d connections, want 2", got)
			}
		})
	}
}

func TestConnectionIsNotUsedForever(t *testing.T) {
	t.Parallel()
	srv := startServer(t, script{})
	client := srv.client(plainURL, patience)
	for range maxPerSession + 1 {
		if err := client.Send(t.Context(), testMessage()); err != nil {
			t.Fatal(err)
		}
	}
	if got := srv.connections(); got != 2 {
		t.Errorf("%d connections for %d messages, want 2", got, maxPerSession+1)
	}
}

func TestConcurrentSends(t *testing.T) {
	t.Parallel()
	const senders, each = 8, 10
	srv := startServer(t, script{})
	client := srv.client(plainURL, patience)
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			for j := range each {
				m := testMessage()
				m.MessageID = MessageID(fmt.Sprintf("eml_%d_%d", i, j), "acme.example")
				if err := client.Send(t.Context(), m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	seen := map[string]int{}
	for _, m := range srv.received() {
		_, after, _ := strings.Cut(string(m.data), "Message-ID: ")
		id, _, _ := strings.Cut(after, "\n")
		seen[id]++
	}
	if len(seen) != senders*each {
		t.Errorf("%d different messages, want %d", len(seen), senders*each)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s arrived %d times", id, n)
		}
	}
	client.mu.Lock()
	idle := len(client.idle)
	client.mu.Unlock()
	if idle > maxIdle || idle == 0 {
		t.Errorf("%d idle connections, want 1 to %d", idle, maxIdle)
	}
}

func TestCloseEndsIdleConnections(t *testing.T) {
	t.Parallel()
	srv := startServer(t, script{})
	client := srv.client(plainURL, patience)
	if err := client.Send(t.Context(), testMessage()); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if !srv.heard("QUIT") {
		t.Errorf("the server heard %q, want a QUIT", srv.commands)
	}
	if err := client.Send(t.Context(), testMessage()); err != nil {
		t.Errorf("a message after Close: %v", err)
	}
	if len(client.idle) != 0 {
		t.Error("a connection was kept after Close")
	}
}

func TestIdleConnectionExpires(t *testing.T) {
	t.Parallel()
	srv := startServer(t, script{})
	client := srv.client(plainURL, patience)
	if err := client.Send(t.Context(), testMessage()); err != nil {
		t.Fatal(err)
	}
	sess := client.idle[0]
	client.expire(sess)
	client.expire(sess) // a timer that fires while the connection is in use must not touch it
	if len(client.idle) != 0 || !srv.heard("QUIT") {
		t.Errorf("%d idle, server heard %q", len(client.idle), srv.commands)
	}
	if err := client.Send(t.Context(), testMessage()); err != nil {
		t.Error(err)
	}
}
