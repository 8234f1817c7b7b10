package mail

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseSMTPURL(t *testing.T) {
	t.Parallel()
	tests := []struct {
		url  string
		want server
	}{
		{"smtp://user:pass@mail.example:2525", server{"mail.example", "2525", "user", "pass", tlsRequired, false}},
		{"smtp://user:pass@mail.example", server{"mail.example", "587", "user", "pass", tlsRequired, false}},
		{"smtp://mail.example", server{"mail.example", "25", "", "", tlsRequired, false}},
		{"smtp://mail.example/?tls=required", server{"mail.example", "25", "", "", tlsRequired, false}},
		{"smtp://mail.example?tls=opportunistic", server{"mail.example", "25", "", "", tlsOpportunistic, false}},
		{"smtp://user:pass@mail.example?tls=none", server{"mail.example", "587", "user", "pass", tlsNone, false}},
		{"smtp://localhost:1025", server{"localhost", "1025", "", "", tlsNone, true}},
		{"smtp://127.0.0.1:1025", server{"127.0.0.1", "1025", "", "", tlsNone, true}},
		{"smtp://[::1]:1025", server{"::1", "1025", "", "", tlsNone, true}},
		{"smtp://localhost:1025?tls=required", server{"localhost", "1025", "", "", tlsRequired, true}},
		{"smtp://user:pass@localhost:1025", server{"localhost", "1025", "user", "pass", tlsRequired, true}},
		{"smtp://10.0.0.1", server{"10.0.0.1", "25", "", "", tlsRequired, false}},
		{"smtp://localhost.evil.example", server{"localhost.evil.example", "25", "", "", tlsRequired, false}},
		{"smtps://user:p%40ss%2F%3F%23@mail.example", server{"mail.example", "465", "user", "p@ss/?#", tlsImplicit, false}},
		{"smtps://127.0.0.1:4650?tls=required", server{"127.0.0.1", "4650", "", "", tlsImplicit, true}},
	}
	for _, tt := range tests {
		got, err := parseSMTPURL(tt.url)
		if err != nil || got != tt.want {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", tt.url, got, err, tt.want)
		}
	}
}

func TestParseSMTPURLErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ url, want string }{
		{"", "smtp://"},
		{"mail.example:25", "smtp://"},
		{"smtp:", "smtp://"},
		{"smtp://", "smtp://"},
		{"smtp://:25", "smtp://"},
		{"http://user:hunter2@mail.example", "scheme"},
		{"SMTPX://user:hunter2@mail.example", "scheme"},
		{"smtp://user:hunter2@mail.example:port", "smtp://"},
		{"smtp://user:hunter2@mail.example:0", "port"},
		{"smtp://user:hunter2@mail.example:65536", "port"},
		{"smtp://user:hunter2@mail.example/path", "path"},
		{"smtp://user:hunter2@mail.example#x", "fragment"},
		{"smtp://user:hunt/er2@mail.example", "smtp://"},
		{"smtp://user:hunter2%zz@mail.example", "smtp://"},
		{"smtp://user@mail.example", "together"},
		{"smtp://:hunter2@mail.example", "together"},
		{"smtp://user:hunter2@mail.example?tls=", "none, opportunistic or required"},
		{"smtp://user:hunter2@mail.example?tls=yes", "none, opportunistic or required"},
		{"smtp://user:hunter2@mail.example?tls=none&tls=required", "repeated"},
		{"smtp://user:hunter2@mail.example?TLS=none", "unknown"},
		{"smtp://user:hunter2@mail.example?starttls=hunter2", "unknown"},
		{"smtp://user:hunter2@mail.example?tls=none&timeout=5", "unknown"},
		{"smtp://user:hunter2@mail.example?tls=%zz", "query"},
		{"smtps://user:hunter2@mail.example?tls=none", "always encrypted"},
		{"smtps://user:hunter2@mail.example?tls=opportunistic", "always encrypted"},
	}
	for _, tt := range tests {
		s, err := NewSMTP(tt.url, 0)
		if err == nil || s != nil {
			t.Errorf("%s: accepted", tt.url)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "SMTP URL: ") {
			t.Errorf("%s: error %q, want it to say %q", tt.url, err, tt.want)
		}
		for _, secret := range []string{"hunter2", "hunt/", "er2@"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: error %q repeats the password", tt.url, err)
			}
		}
	}
}

func TestSMTPPrintsWithoutPassword(t *testing.T) {
	t.Parallel()
	s, err := NewSMTP("smtps://user:hunter2@mail.example", 0)
	if err != nil {
		t.Fatal(err)
	}
	if s.timeout != defaultSMTPTimeout {
		t.Errorf("timeout %v", s.timeout)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, s); got != "smtps://mail.example:465" {
			t.Errorf("%s prints %q", format, got)
		}
	}
}
