package mail

import (
	"bufio"
	"context"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"testing"
	"time"
)

// reasonShape is all that may be said of an answer: its codes, and words of ours.
var reasonShape = regexp.MustCompile(`^\d{3}( [245]\.\d{1,3}\.\d{1,3})?: the server (refused|does not talk to us)[a-zA-Z ]*$`)

// Whatever a server answers, only its codes are repeated.
func FuzzClassifyReply(f *testing.F) {
	f.Add(uint8(0), 450, "5.1.1 <ada@example.com>: no such user")
	f.Add(uint8(3), 435, "5.7.8 bad password: secret")
	f.Add(uint8(6), 351, "4.999.999999")
	f.Add(uint8(5), 0, "2.0.0\n5.1.1 two lines")
	f.Add(uint8(9), -7, "\x00")
	steps := []step{stepConnect, stepGreeting, stepTLS, stepAuth, stepSender, stepRcpt, stepContent, ""}
	f.Fuzz(func(t *testing.T, at uint8, code int, text string) {
		code = 100 + int(uint(code)%900) // what net/textproto takes for one
		e := classify(t.Context(), steps[int(at)%len(steps)], &textproto.Error{Code: code, Msg: text})
		if e.Code != code || !reasonShape.MatchString(e.Reason) || e.Unwrap() != nil {
			t.Fatalf("%d %q becomes %q", code, text, e.Reason)
		}
		if code/100 != 5 && !e.Temporary {
			t.Fatalf("%d is final", code)
		}
	})
}

// A server may say anything at any time: sending ends, and tells nothing of what was said.
func FuzzSMTPDialogue(f *testing.F) {
	for _, said := range []string{
		"220 hi\n250 mx\n250 ok\n250 ok\n354 go\n250 taken\n221 bye",
		"220-hi\n220 there\n250-mx\n250-8BITMIME\n250 SMTPUTF8\n550 5.1.1 s3cr3t-said",
		"554 5.7.1 s3cr3t-said", "220", "220 hi\n250-", "220 hi\n999999999999999999999 x", "HTTP/1.1 400 s3cr3t-said", "\x00\xff", "220 hi\n250-STARTTLS\n250 AUTH PLAIN\n220 go",
		"220 hi\n250 mx\n250 ok\n250 ok\n250 no", "220 hi\n250 mx\n250 ok\n250 ok\n354 go\n451 4.3.0 s3cr3t-said\n250 ok\n250 ok",
	} {
		f.Add(said)
	}
	f.Fuzz(func(t *testing.T, said string) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		served := make(chan struct{})
		go func() {
			defer close(served)
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			in := bufio.NewReader(conn)
			content := false
			for line := range strings.SplitSeq(said, "\n") {
				if _, err := conn.Write([]byte(line + "\r\n")); err != nil {
					return
				}
				if len(line) > 3 && line[3] == '-' {
					continue
				}
				for { // one command, or one message
					heard, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if !content || heard == ".\r\n" {
						break
					}
				}
				content = strings.HasPrefix(line, "354")
			}
		}()
		client, err := NewSMTP("smtp://"+listener.Addr().String()+"?tls=none", 200*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err = client.Send(ctx, testMessage())
		_ = client.Close()
		_ = listener.Close()
		<-served
		if err == nil {
			if !strings.Contains(said, "250") {
				t.Fatalf("sent, though the server said %q", said)
			}
			return
		}
		refused := wantSendError(t, err)
		if strings.Contains(said, "s3cr3t-said") && strings.Contains(refused.Error(), "s3cr3t") {
			t.Fatalf("the error tells: %v", refused)
		}
	})
}
