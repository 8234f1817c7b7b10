package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"time"
)

// A temper is how the mail server or the merchant's server behaves.
type temper int

const (
	works   temper = iota // it does its work
	refuses               // nobody can connect
	later                 // it says: not now (4xx of SMTP, 503)
	never                 // it says: no (554)
	hangs                 // it takes connections and says nothing
	babbles               // it says something that is no answer
	forgets               // it takes what it is sent, and hangs up instead of saying so
)

// sink is a mail server.
type sink struct {
	address string
	take    func(mail) // is told of each copy that was taken

	mu       sync.Mutex
	temper   temper
	changed  chan struct{} // closed when the temper changes
	listener net.Listener
	conns    map[net.Conn]bool
	all      sync.WaitGroup
	odd      []string // mails that are none
	turned   int      // refusals of any sort
}

// mail is one copy of an email.
type mail struct {
	to, id string
	text   string // the plain part
}

func newSink(take func(mail)) (*sink, error) {
	s := &sink{take: take, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	listener, err := listen()
	if err != nil {
		return nil, err
	}
	s.address = listener.Addr().String()
	s.serve(listener)
	return s, nil
}

func (s *sink) serve(listener net.Listener) {
	s.listener = listener
	s.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = true
			s.mu.Unlock()
			s.all.Go(func() {
				s.converse(conn)
				_ = conn.Close()
				s.mu.Lock()
				delete(s.conns, conn)
				s.mu.Unlock()
			})
		}
	})
}

// become changes the temper. Who has waited in vain so far is cut off, as by a server that is restarted.
func (s *sink) become(t temper) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.temper
	s.temper = t
	close(s.changed)
	s.changed = make(chan struct{})
	if t == refuses {
		for conn := range s.conns {
			_ = conn.Close()
		}
	}
	switch {
	case t == refuses && was != refuses:
		return s.listener.Close()
	case t != refuses && was == refuses:
		listener, err := net.Listen("tcp", s.address)
		if err != nil {
			return err
		}
		s.serve(listener)
	}
	return nil
}

func (s *sink) close() error {
	err := s.become(refuses)
	s.all.Wait()
	return err
}

// mood is the temper, until it changes.
func (s *sink) mood() (temper, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.temper != works {
		s.turned++
	}
	return s.temper, s.changed
}

// converse speaks as much of RFC 5321 as a client needs.
func (s *sink) converse(conn net.Conn) {
	in := bufio.NewReader(conn)
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) }
	switch mood, changed := s.mood(); mood {
	case hangs:
		<-changed
		return
	case babbles:
		_, _ = conn.Write([]byte("\x00\xff\x16HTTP/1.1 200 OK\r\n\r\n<html>220</html>"))
		return
	}
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
			say("250-mail.example\r\n250-8BITMIME\r\n250 SMTPUTF8")
		case "RCPT":
			to = strings.Trim(text[strings.IndexByte(text, ':')+1:], "<> ")
			if mood, _ := s.mood(); mood == later {
				say("451 4.7.1 <" + to + "> come back later")
				continue
			}
			say("250 ok")
		case "DATA":
			say("354 go on")
			if !s.receive(conn, in, to, say) {
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

// receive reads one message and answers as the temper is at its end. It reports whether the conversation goes on.
func (s *sink) receive(conn net.Conn, in *bufio.Reader, to string, say func(string)) bool {
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
	got, err := readMail(&raw)
	if err != nil {
		s.mu.Lock()
		s.odd = append(s.odd, fmt.Sprintf("an email to %s is none: %v", to, err))
		s.mu.Unlock()
		say("554 this is no email")
		return true
	}
	got.to = to
	time.Sleep(20*time.Millisecond + rand.N(60*time.Millisecond)) // as long as a server on the same continent
	switch mood, changed := s.mood(); mood {
	case later:
		say("452 4.3.1 the disk is full")
	case never:
		say("554 5.7.1 refused")
	case hangs:
		<-changed
		return false
	case babbles:
		_, _ = conn.Write([]byte("\x00\xff\x16 2 5 0 ?\r\n"))
		return false
	case forgets:
		s.take(got)
		return false
	default:
		s.take(got)
		say("250 taken")
	}
	return true
}

func readMail(raw io.Reader) (m mail, err error) {
	message, err := netmail.ReadMessage(raw)
	if err != nil {
		return m, err
	}
	if m.id = message.Header.Get("Message-Id"); m.id == "" {
		return m, errors.New("it has no Message-ID")
	}
	kind, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return m, err
	}
	if kind != "multipart/alternative" {
		return m, fmt.Errorf("it is %s", kind)
	}
	for parts := multipart.NewReader(message.Body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			if m.text == "" {
				return m, errors.New("it has no plain text")
			}
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
