package handlers_test

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"
)

// rudeSMTP is a mail server that quotes what it was told in its refusals, as many do.
type rudeSMTP struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu      sync.Mutex
	conns   []net.Conn
	refusal string // of the content, such as 451; empty takes it
	taken   []string
}

func newRudeSMTP(t testing.TB) *rudeSMTP {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rudeSMTP{listener: listener}
	s.serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.serving.Go(func() { s.talk(c) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.serving.Wait()
	})
	return s
}

func (s *rudeSMTP) url() string { return "smtp://" + s.listener.Addr().String() + "?tls=none" }

func (s *rudeSMTP) refuse(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = code
}

func (s *rudeSMTP) messages() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

func (s *rudeSMTP) talk(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	say := func(line string) bool { _, err := c.Write([]byte(line + "\r\n")); return err == nil }
	if !say("220 rude.example") {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer := "250 ok"
		switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.ToUpper(verb) {
		case "EHLO", "HELO":
			answer = "250-rude.example\r\n250-8BITMIME\r\n250 SMTPUTF8"
		case "DATA":
			if !say("354 go on") {
				return
			}
			content, ok := readContent(in)
			if !ok {
				return
			}
			answer = s.judge(content)
		case "QUIT":
			say("221 bye")
			return
		}
		if !say(answer) {
			return
		}
	}
}

func (s *rudeSMTP) judge(content string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal == "" {
		s.taken = append(s.taken, content)
		return "250 taken"
	}
	quoted := strings.NewReplacer("\r", " ", "\n", " ").Replace(content)
	return s.refusal + " " + s.refusal[:1] + ".7.1 this is spam: " + quoted[:min(len(quoted), 400)]
}

func readContent(in *bufio.Reader) (string, bool) {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", false
		}
		if line == ".\r\n" {
			return b.String(), true
		}
		b.WriteString(line)
	}
}
