package webhook

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Whatever the body does, the status decides, and soon.
func TestBodiesDoNotSpoilASuccess(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	io.Copy(zw, strings.NewReader(strings.Repeat("ok", 50_000)))
	zw.Close()

	tests := []struct {
		name    string
		answer  http.HandlerFunc
		excerpt func(string) bool
	}{
		{"empty", func(http.ResponseWriter, *http.Request) {}, func(s string) bool { return s == "" }},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, func(s string) bool { return s == "" }},
		{"unusual 2xx", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) }, func(s string) bool { return s == "" }},
		{"large", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000000")
			for range 1000 {
				if _, err := io.WriteString(w, strings.Repeat("a", 100_000)); err != nil {
					return
				}
			}
		}, func(s string) bool { return s == strings.Repeat("a", 2048) }},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("b", 1000)); err != nil {
					return
				}
			}
		}, func(s string) bool { return s == strings.Repeat("b", 2048) }},
		{"slow", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "part")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, func(s string) bool { return s == "part" }},
		{"never begins", func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, func(s string) bool { return s == "" }},
		{"gzip unasked", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zipped.Bytes())
		}, func(s string) bool { return s != "" && !strings.Contains(s, "okok") }},
		{"not gzip although it says so", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "plain")
		}, func(s string) bool { return s == "plain" }},
		{"shorter than announced", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "short")
		}, func(s string) bool { return s == "short" }},
		{"retry-after on a success", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "60")
		}, func(s string) bool { return s == "" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan string, 1)
			left := make(chan struct{})
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(left)
				asked <- r.Header.Get("Accept-Encoding")
				io.Copy(io.Discard, r.Body) // or the server does not notice that we left
				tt.answer(w, r)
			})
			s := newTestSender(t, Config{AllowedPrivateNets: loopback, excerptWait: 500 * time.Millisecond})
			begun := time.Now()
			r := send(t, s, srv.URL)
			if took := time.Since(begun); took > 12*time.Second {
				t.Errorf("took %v", took)
			}
			if !r.Success || r.Error != "" || r.StatusCode/100 != 2 || r.Temporary() || r.RetryAfter != 0 {
				t.Errorf("%+v; want a success", r)
			}
			if !tt.excerpt(r.Excerpt) || len(r.Excerpt) > 2048 || !utf8.ValidString(r.Excerpt) {
				t.Errorf("excerpt of %d bytes: %.60q…", len(r.Excerpt), r.Excerpt)
			}
			if got := <-asked; got != "identity" {
				t.Errorf("asked for the coding %q", got)
			}
			select {
			case <-left:
			case <-time.After(10 * time.Second):
				t.Error("the connection was not given up")
			}
		})
	}
}

func TestFailingAnswers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	in := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	tests := []struct {
		code       int
		retryAfter string
		wait       time.Duration
		temporary  bool
	}{
		{400, "", 0, false},
		{401, "", 0, false},
		{404, "10", 10 * time.Second, false},
		{408, "", 0, true},
		{410, "", 0, false},
		{425, "", 0, true},
		{429, "120", 2 * time.Minute, true},
		{429, in(time.Hour), time.Hour, true},
		{429, in(-time.Hour), 0, true},
		{429, in(100 * time.Hour), 24 * time.Hour, true},
		{500, "", 0, true},
		{503, "86401", 24 * time.Hour, true},
		{503, "soon", 0, true},
		{599, "0", 0, true},
		{600, "", 0, true},
		{999, "", 0, true},
	}
	s := newTestSender(t, Config{AllowedPrivateNets: loopback, now: func() time.Time { return now }})
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.code, tt.retryAfter), func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.code)
				io.WriteString(w, "no, because ✗")
			})
			for _, maxBody := range []int{0, 100} {
				r := s.Send(t.Context(), Request{URL: srv.URL, AllowPrivate: true, MaxBody: maxBody})
				if r.Success || r.StatusCode != tt.code || r.Error != fmt.Sprintf("status %d", tt.code) || r.Gone != (tt.code == 410) {
					t.Errorf("%+v; want the failure %d", r, tt.code)
				}
				if r.RetryAfter != tt.wait || r.Temporary() != tt.temporary {
					t.Errorf("RetryAfter %v, temporary %v; want %v, %v", r.RetryAfter, r.Temporary(), tt.wait, tt.temporary)
				}
				if r.Excerpt != "no, because ✗" || r.Body != nil {
					t.Errorf("excerpt %q, body %q", r.Excerpt, r.Body)
				}
			}
		})
	}
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	tests := []struct {
		value string
		want  time.Duration
	}{
		{"", 0},
		{"0", 0},
		{"1", time.Second},
		{" 30 ", 30 * time.Second},
		{"86400", 24 * time.Hour},
		{"86401", 24 * time.Hour},
		{"99999999999999999999999999", 24 * time.Hour},
		{"-1", 0},
		{"+1", 0},
		{"1.5", 0},
		{"1e3", 0},
		{"0x10", 0},
		{"٣", 0},
		{"1, 2", 0},
		{"Wed, 04 Mar 2026 05:07:07 GMT", time.Minute},
		{"Wednesday, 04-Mar-26 05:07:07 GMT", time.Minute},
		{"Wed Mar  4 05:07:07 2026", time.Minute},
		{"Wed, 04 Mar 2026 05:06:06 GMT", 0},
		{"Fri, 01 Jan 0001 00:00:00 GMT", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 24 * time.Hour},
		{"2026-03-04T05:07:07Z", 0},
		{"tomorrow", 0},
	}
	for _, tt := range tests {
		if got := parseRetryAfter(tt.value, now); got != tt.want {
			t.Errorf("parseRetryAfter(%q) = %v; want %v", tt.value, got, tt.want)
		}
	}
}

func TestExcerptIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body, want string }{
		{"short", "héllo\r\n\tyou", "héllo\r\n\tyou"},
		{"exact", strings.Repeat("a", 2048), strings.Repeat("a", 2048)},
		{"two-byte character across the cut", strings.Repeat("a", 2047) + "é!", strings.Repeat("a", 2047)},
		{"four-byte character across the cut", strings.Repeat("a", 2045) + "😀!", strings.Repeat("a", 2045)},
		{"character that just fits", strings.Repeat("a", 2044) + "😀!", strings.Repeat("a", 2044) + "😀"},
		{"invalid bytes", "a\xff\xfeb", "a\uFFFD\uFFFDb"},
		{"unfinished at its own end", "a\xf0\x9f", "a\uFFFD\uFFFD"},
		{"nothing but invalid", strings.Repeat("\xff", 3000), strings.Repeat("\uFFFD", 682)},
		{"continuation bytes only", strings.Repeat("\x80", 2048), strings.Repeat("\uFFFD", 682)},
		{"control characters", "a\x00\x1b\u0085b\x7f", "a\uFFFD\uFFFD\uFFFDb\uFFFD"},
	}
	for _, tt := range tests {
		if got := excerpt(strings.NewReader(tt.body)); got != tt.want {
			t.Errorf("%s: %d bytes ending in %q; want %d ending in %q", tt.name, len(got), tail(got), len(tt.want), tail(tt.want))
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-8):] }

func TestUpgradedConnectionIsAFailureAndClosed(t *testing.T) {
	t.Parallel()
	for _, maxBody := range []int{0, 100} {
		addr := rawServer(t, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello")
		})
		s := newTestSender(t, Config{AllowedPrivateNets: loopback})
		r := s.Send(t.Context(), Request{URL: "http://" + addr, AllowPrivate: true, MaxBody: maxBody})
		if r.Success || r.StatusCode != 101 || r.Error != "status 101" || r.Excerpt != "" || r.Duration > 5*time.Second {
			t.Errorf("%+v; want the failure 101", r)
		}
	} // rawServer's end waits until we have left its connection
}

func TestWholeBodyForCallersThatNeedIt(t *testing.T) {
	t.Parallel()
	const limit = 1000
	exact := strings.Repeat("k", limit)
	tests := []struct {
		name      string
		answer    http.HandlerFunc
		body, err string
		temporary bool
	}{
		{"short", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "KEY-\x001") }, "KEY-\x001", "", false},
		{"empty", func(http.ResponseWriter, *http.Request) {}, "", "", false},
		{"exact", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, exact) }, exact, "", false},
		{"in parts", func(w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				io.WriteString(w, exact[:100])
				http.NewResponseController(w).Flush()
			}
		}, exact, "", false},
		{"identity said aloud", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "Identity")
			io.WriteString(w, "KEY-1")
		}, "KEY-1", "", false},
		{"one too long", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, exact+"k") }, "", FailTooLarge, false},
		{"announced too long", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "", FailTooLarge, false},
		{"compressed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "?")
		}, "", FailEncoding, false},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "KEY-")
		}, "", FailCutOff, true},
		{"too slow", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "KEY-")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "", FailTimeout, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, tt.answer)
			timeout := 30 * time.Second
			if tt.err == FailTimeout {
				timeout = 4 * time.Second
			}
			s := newTestSender(t, Config{AllowedPrivateNets: loopback, Timeout: timeout})
			r := s.Send(t.Context(), Request{URL: srv.URL, Method: "GET", AllowPrivate: true, MaxBody: limit})
			if r.StatusCode != 200 || r.Success != (tt.err == "") || r.Error != tt.err || string(r.Body) != tt.body || r.Temporary() != tt.temporary {
				t.Errorf("%d %v %q, %d bytes, temporary %v; want error %q, %d bytes, temporary %v",
					r.StatusCode, r.Success, r.Error, len(r.Body), r.Temporary(), tt.err, len(tt.body), tt.temporary)
			}
			if r.Excerpt != "" {
				t.Errorf("excerpt %q: a licence may be in it", r.Excerpt)
			}
		})
	}
}
