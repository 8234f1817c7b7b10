package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// letter is an email as Purser sends them.
const letter = "Message-ID: <1@shop.example>\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nYour key:\r\n.=3DKEY-1=3D\r\n" +
	"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Your key: KEY-2</p>\r\n--b--\r\n"

// post is a sink with what it has taken.
type post struct {
	*sink
	mu    sync.Mutex
	taken []mail
}

func newPost(t *testing.T) *post {
	t.Helper()
	p := &post{}
	var err error
	if p.sink, err = newSink(func(m mail) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.taken = append(p.taken, m)
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *post) mustBecome(t *testing.T, mood temper) {
	t.Helper()
	if err := p.become(mood); err != nil {
		t.Fatal(err)
	}
}

func (p *post) copies() []mail {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

// noted is how many were turned away, and what was no email.
func (p *post) noted() (turned int, odd []string) {
	p.sink.mu.Lock()
	defer p.sink.mu.Unlock()
	return p.turned, p.odd
}

// begin gets as far as a greeting.
func (p *post) begin() (*smtp.Client, error) {
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		return nil, err
	}
	return smtp.NewClient(conn, "mail.example")
}

// send sends an email; before the end of its data something else may happen.
func (p *post) send(text string, meanwhile func() error) error {
	c, err := p.begin()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Mail("shop@shop.example"); err != nil {
		return err
	}
	if err := c.Rcpt("ada@customers.example"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	if err := meanwhile(); err != nil {
		return fmt.Errorf("meanwhile: %w", err)
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

func asEver() error { return nil }

// code is the code of a refusal, and 0 of everything else.
func code(err error) int {
	if said, ok := errors.AsType[*textproto.Error](err); ok {
		return said.Code
	}
	return 0
}

func TestTheSinkTakesEmails(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	for range 2 {
		if err := p.send(letter, asEver); err != nil {
			t.Fatal(err)
		}
	}
	want := mail{to: "ada@customers.example", id: "<1@shop.example>", text: "Your key:\r\n.=KEY-1="}
	if got := p.copies(); len(got) != 2 || got[0] != want || got[1] != want {
		t.Errorf("took %q, want %q twice", got, want)
	}
	if turned, odd := p.noted(); turned != 0 || len(odd) > 0 {
		t.Errorf("turned %d away and found odd %q", turned, odd)
	}
}

func TestTheSinkNamesWhatIsNoEmail(t *testing.T) {
	t.Parallel()
	for what, text := range map[string]string{
		"no message":    "hello",
		"no id":         strings.Replace(letter, "Message-ID", "X-ID", 1),
		"no parts":      strings.Replace(letter, "multipart/alternative", "text/plain", 1),
		"no plain text": strings.Replace(letter, "boundary=b", "boundary=c", 1),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := newPost(t)
			if err := p.send(text, asEver); code(err) != 554 {
				t.Errorf("answers %v, want 554", err)
			}
			_, odd := p.noted()
			if len(p.copies()) > 0 || len(odd) != 1 || !strings.Contains(odd[0], "ada@customers.example") {
				t.Errorf("took %q and found odd %q", p.copies(), odd)
			}
		})
	}
}

func TestTheSinkRefusesConnections(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	c, err := p.begin()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.mustBecome(t, refuses)
	if err := c.Noop(); err == nil {
		t.Error("an old conversation goes on")
	}
	if err := p.send(letter, asEver); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("answers %v, want a refusal", err)
	}
	p.mustBecome(t, works)
	if err := p.send(letter, asEver); err != nil || len(p.copies()) != 1 {
		t.Errorf("takes %d emails afterwards: %v", len(p.copies()), err)
	}
}

// TestTheSinkInABadTemper takes an email to a sink that is in it already, and to one that falls into it at the end of the data.
func TestTheSinkInABadTemper(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		mood        temper
		early, late int // the codes; 0 is no answer of SMTP
		taken       bool
	}{
		"later":   {later, 451, 452, false},
		"never":   {never, 554, 554, false},
		"babbles": {babbles, 0, 0, false},
		"forgets": {forgets, 0, 0, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for at, want := range []int{c.early, c.late} {
				p := newPost(t)
				meanwhile := func() error { return p.become(c.mood) }
				if at == 0 {
					p.mustBecome(t, c.mood)
					meanwhile = asEver
				}
				if err := p.send(letter, meanwhile); err == nil || code(err) != want || strings.Contains(err.Error(), "meanwhile") {
					t.Errorf("at %d it answers %v, want %d", at, err, want)
				}
				if got := p.copies(); (len(got) == 1) != c.taken {
					t.Errorf("at %d it takes %q", at, got)
				}
				if turned, _ := p.noted(); turned == 0 {
					t.Errorf("at %d it turned nobody away", at)
				}
				p.mustBecome(t, works)
				if err := p.send(letter, asEver); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			}
		})
	}
}

func TestTheSinkHangs(t *testing.T) {
	t.Parallel()
	for what, meanwhile := range map[string]func(*post) error{
		"from the beginning":     nil,
		"at the end of the data": func(p *post) error { return p.become(hangs) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := newPost(t)
			during := func() error { return meanwhile(p) }
			if meanwhile == nil {
				p.mustBecome(t, hangs)
				during = asEver
			}
			answered := make(chan error, 1)
			go func() { answered <- p.send(letter, during) }()
			eventually(t, "somebody waits", func() bool { turned, _ := p.noted(); return turned > 0 })
			select {
			case err := <-answered:
				t.Fatalf("it answers: %v", err)
			default:
			}
			p.mustBecome(t, works)
			if err := <-answered; err == nil || code(err) != 0 {
				t.Errorf("who waited is told %v", err)
			}
			if err := p.send(letter, asEver); err != nil || len(p.copies()) != 1 {
				t.Errorf("takes %d emails afterwards: %v", len(p.copies()), err)
			}
		})
	}
}
