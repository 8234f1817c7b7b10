package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
)

// email is one copy of an email that a mailServer has taken.
type email struct {
	door          *mailDoor // through which it came
	to, messageID string
	text          string // the plain part
}

// mailServer takes emails through several doors, one for each worker, so that a test knows who sent which.
type mailServer struct {
	mu    sync.Mutex
	taken []email // every copy, in the order in which they came
	// answer, if set, replaces "250 …": for a refusal. It is called with the copy at the end of its data, and before it counts as taken.
	answer func(email) string
}

// mailDoor is one address of a mailServer.
type mailDoor struct {
	server *mailServer
	url    string

	mu      sync.Mutex
	release chan struct{} // while not nil, copies are taken but nobody is told so until it is closed
	holding int
}

// open listens at another address until the test ends.
func (s *mailServer) open(t testing.TB) *mailDoor {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &mailDoor{server: s, url: "smtp://" + listener.Addr().String()}
	var (
		mu    sync.Mutex
		conns = map[net.Conn]bool{}
		all   sync.WaitGroup
	)
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			all.Go(func() {
				d.serve(conn)
				mu.Lock()
				defer mu.Unlock()
				delete(conns, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return d
}

// hold lets the door take emails without saying so from now on, as a server does whose answers get lost.
func (d *mailDoor) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release = make(chan struct{})
}

// letGo answers what was held, as far as anybody still listens, and holds nothing any more.
func (d *mailDoor) letGo() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.release != nil {
		close(d.release)
		d.release = nil
	}
}

// held is how many emails the door has in hand whose sender still waits.
func (d *mailDoor) held() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.holding
}

// serve speaks as much of RFC 5321 as a client needs.
func (d *mailDoor) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 mail.example ESMTP")
	to := ""
	for {
		text, err := in.ReadString('\n')
		if err != nil {
			return
		}
		text = strings.TrimSpace(text)
		switch verb, _, _ := strings.Cut(strings.ToUpper(text), " "); verb {
		case "EHLO":
			say("250-mail.example")
			say("250-8BITMIME")
			say("250-AUTH PLAIN")
			say("250 SMTPUTF8")
		case "AUTH":
			say("235 welcome")
		case "RCPT":
			to = strings.Trim(text[strings.IndexByte(text, ':')+1:], "<> ")
			say("250 ok")
		case "DATA":
			say("354 go on")
			if !d.take(conn, in, to, say) {
				return
			}
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// take reads one message. It reports whether the sender is still there.
func (d *mailDoor) take(conn net.Conn, in *bufio.Reader, to string, say func(string)) bool {
	var raw bytes.Buffer
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		raw.WriteString(strings.TrimPrefix(line, "."))
	}
	got, err := parseEmail(&raw)
	if err != nil {
		say("554 this is no email: " + err.Error())
		return true
	}
	got.door, got.to = d, to
	if no := d.server.refusal(got); no != "" {
		say(no)
		return true
	}
	d.server.add(got)

	d.mu.Lock()
	release := d.release
	if release == nil {
		d.mu.Unlock()
		say("250 taken")
		return true
	}
	d.holding++
	d.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = in.Peek(1) // the sender has nothing to say before it is answered, so this is its end
	}()
	select {
	case <-release:
		say("250 taken")
	case <-gone:
	}
	d.mu.Lock()
	d.holding--
	d.mu.Unlock()
	<-gone
	_, err = in.Peek(1)
	return err == nil
}

func (s *mailServer) refusal(m email) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer == nil {
		return ""
	}
	return s.answer(m)
}

func (s *mailServer) add(m email) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = append(s.taken, m)
}

// copies returns every copy of every email, in the order in which they were taken.
func (s *mailServer) copies() []email {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}

// distinct is how many emails there are, by their Message-IDs.
func (s *mailServer) distinct() int {
	ids := map[string]bool{}
	for _, m := range s.copies() {
		ids[m.messageID] = true
	}
	return len(ids)
}

func parseEmail(raw io.Reader) (email, error) {
	message, err := netmail.ReadMessage(raw)
	if err != nil {
		return email{}, err
	}
	m := email{messageID: message.Header.Get("Message-Id")}
	if m.messageID == "" {
		return m, fmt.Errorf("it has no Message-ID")
	}
	kind, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return m, err
	}
	if kind != "multipart/alternative" {
		return m, fmt.Errorf("it is %s, want multipart/alternative", kind)
	}
	for parts := multipart.NewReader(message.Body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return m, err
		}
		if !strings.HasPrefix(part.Header.Get("Content-Type"), "text/plain") {
			continue
		}
		var body io.Reader = part
		if part.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			body = quotedprintable.NewReader(part)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			return m, err
		}
		m.text = string(text)
	}
}
