package webhook

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxExcerptBytes = 2 << 10
	maxRetryAfter   = 24 * time.Hour
)

// verdict judges an answer by its status line and headers alone.
func (s *Sender) verdict(resp *http.Response) Result {
	r := Result{StatusCode: resp.StatusCode}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		r.Success = true
		return r
	case code >= 300 && code < 400:
		r.Error = FailRedirect
	default:
		r.Error = "status " + strconv.Itoa(code)
	}
	r.Gone = resp.StatusCode == http.StatusGone
	r.RetryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), s.now())
	return r
}

// parseRetryAfter reads a Retry-After header (RFC 9110 §10.2.3: seconds or a
// date) as a wait from now. What is missing, malformed or past is 0; a receiver
// cannot ask for more than 24 hours.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter // digits that do not fit are a very long wait
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// wholeBody reads the answer that a caller needs in full, or says in a Fail
// text why it cannot be had.
func wholeBody(ctx context.Context, resp *http.Response, limit int) ([]byte, string) {
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, FailEncoding
	}
	if resp.ContentLength > int64(limit) {
		return nil, FailTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	switch {
	case len(body) > limit:
		return nil, FailTooLarge
	case err != nil && ctx.Err() != nil:
		return nil, failure(ctx, err)
	case err != nil:
		return nil, FailCutOff
	}
	return body, ""
}

// excerpt reads the beginning of a body. Reading one byte more than is kept
// finds the end of a short body, without which its connection is not reused.
// Errors are dropped: the verdict is made, and a part is better than nothing.
func excerpt(body io.Reader) string {
	raw, _ := io.ReadAll(io.LimitReader(body, maxExcerptBytes+1))
	if len(raw) > maxExcerptBytes {
		raw = cutRune(raw[:maxExcerptBytes])
	}
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return utf8.RuneError // PostgreSQL refuses NUL in text, terminals obey ESC
		}
		return r
	}, string(raw))
	if len(text) > maxExcerptBytes { // a replaced byte takes three
		return string(cutRune([]byte(text[:maxExcerptBytes])))
	}
	return text
}

// cutRune drops the part of a character that a cut left at the end.
func cutRune(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}
