package api

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// dice makes requests out of a seed: values that are right, nearly right, and hostile.
type dice struct {
	*rand.Rand
	doc   *huma.OpenAPI
	known *harvest
	// honest requests have nothing wrong on purpose, so that there is something to be hostile to.
	honest bool
}

func (d *dice) chance(percent int) bool { return d.IntN(100) < percent }

// wrong is chance for what is wrong on purpose.
func (d *dice) wrong(percent int) bool { return d.chance(percent) && !d.honest }

func pick[T any](d *dice, from []T) T { return from[d.IntN(len(from))] }

// oddities are texts that have broken something somewhere.
var oddities = []string{
	"", " ", "\x00", "a\x00b", "\u2028", "\u202e abc", "\ufeffx", "ﬀ", "İ", "ß", "💩", "👩‍👩‍👧‍👦", "\u0301", "日本語", "\xff\xfe", "\xc3\x28", "\xed\xa0\x80", "�",
	"'", "''", "\"", "\\", "' OR 1=1 --", "1; DROP TABLE orders", "%", "%%", "%s%n%x", "%00", "%ff", "_", "*", "?", "..", "../../etc/passwd", "..\\..\\x", "/", "//",
	"<script>alert(1)</script>", "{{.}}", "{{template \"csrf\"}}", "${7*7}", "{KEY}", "{EMAIL}{", "}", "null", "true", "NaN", "-0", "0x10", "1e9", "1_000", "٣", "½",
	"\r\n", "a\r\nSet-Cookie: b=c", "\t", "\v", "\u0085", "con", "__proto__", "constructor", "a.b", "a[0]", "$id", "-1", "00", "+1",
	"9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551616", "2147483648", "9007199254740993",
	"0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00.123456789+14:00", "2026-01-01", "-290308-01-01T00:00:00Z",
	"90s", "-1h", "2562047h48m", "9999999h", "1ns", "1.5h", "0s", "h", "EUR", "eur", "JPY", "KWD", "XXX", "EURO", "en", "de_AT", "zz", "en-US-x-private", "ru;q=0.5", "DE", "ZZ", "d",
	"ada@example.com", "a@b", "@", "a@b\r\nBcc: c@d", "\"a b\"@example.com", "ä@münchen.example", strings.Repeat("a", 250) + "@example.com",
	"https://shop.example/", "http://", "https://\x00", "javascript:alert(1)", "//evil.example", "https://a@b", "https://[::1", "https://shop.example:99999/", "http://169.254.169.254/",
	"editor-pro", "viewer", "exhibit", "EXHIBIT", "FRESH", "card", "bank_transfer", "custom.", "custom.x", "order.*", "*", "payment.succeeded",
	"4242424242424242", "4242 4242 4242 4242", "4000002500003155", "4000000000000077", "0000000000000000", "psk_test_x", "whsec_", "DE89370400440532013000", "#fff", "#0B6E4F",
}

// text is any text at all.
func (d *dice) text() string {
	switch d.IntN(8) {
	case 0, 1, 2, 3:
		return pick(d, oddities)
	case 4:
		return d.known.any(d)
	case 5:
		return strings.Repeat(pick(d, oddities), d.IntN(400))
	case 6:
		b := make([]byte, d.IntN(40))
		for i := range b {
			b[i] = byte(d.IntN(256))
		}
		return string(b)
	}
	r := make([]rune, d.IntN(40))
	for i := range r {
		r[i] = rune(d.IntN(0x11000))
	}
	return string(r)
}

var numbers = []json.Number{
	"0", "1", "2", "-1", "3", "100", "4900", "10000", "1000000000000", "9007199254740992", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e2", "1E+2", "1.0", "1.5",
	"-0", "-0.0", "1e400", "1e-400", "123456789012345678901234567890", "0.1e1", "2147483648", "100000000000000",
}

// anything is any JSON value.
func (d *dice) anything(depth int) any {
	switch d.IntN(9) {
	case 0:
		return nil
	case 1:
		return d.chance(50)
	case 2, 3:
		return pick(d, numbers)
	case 4:
		list := make([]any, d.IntN(4))
		for i := range list {
			if depth > 0 {
				list[i] = d.anything(depth - 1)
			}
		}
		return list
	case 5:
		object := map[string]any{}
		for range d.IntN(4) {
			if depth > 0 {
				object[d.text()] = d.anything(depth - 1)
			}
		}
		return object
	}
	return d.text()
}

// value is a value that a schema allows, as far as schemas go; now and then one that it does not.
func (d *dice) value(name string, s *huma.Schema, depth int) any {
	s = resolved(d.doc, s)
	if d.wrong(3) {
		return d.anything(3)
	}
	if s.Nullable && d.chance(10) {
		return nil
	}
	if len(s.Enum) > 0 && !d.wrong(5) {
		return pick(d, s.Enum)
	}
	if len(s.Examples) > 0 && d.chance(20) {
		return pick(d, s.Examples)
	}
	switch s.Type {
	case huma.TypeObject:
		return d.object(s, depth)
	case huma.TypeArray:
		list := make([]any, 1+d.IntN(3))
		if d.wrong(10) {
			list = nil
		}
		for i := range list {
			if s.Items != nil && depth > 0 {
				list[i] = d.value(name, s.Items, depth-1)
			}
		}
		return list
	case huma.TypeInteger, huma.TypeNumber:
		if d.wrong(15) {
			return pick(d, numbers)
		}
		return json.Number(fmt.Sprint(1 + d.IntN(20)))
	case huma.TypeBoolean:
		return name == "terms" || name == "personal_data" || d.chance(60)
	case huma.TypeString:
		return d.word(name, s)
	}
	return d.anything(2)
}

func (d *dice) object(s *huma.Schema, depth int) any {
	object := map[string]any{}
	if depth == 0 {
		return object
	}
	for name, p := range s.Properties {
		if slices.Contains(s.Required, name) && !d.wrong(3) || d.chance(30) {
			object[name] = d.value(name, p, depth-1)
		}
	}
	if _, free := s.AdditionalProperties.(*huma.Schema); free || d.wrong(2) {
		object[d.text()] = d.text()
	}
	return object
}

// sensible are texts that mean something in a field of that name.
var sensible = map[string][]string{
	"currency": {"EUR", "EUR", "EUR", "JPY", "KWD"}, "product": {"editor-pro", "editor-pro", "viewer"}, "trigger": {"editor-pro"}, "email": {"ada@example.com", "bob@example.com"},
	"locale": {"en", "de", "ru-RU"}, "country": {"GB", "DE", "US"}, "license_method": {"pool", "template", "signed", "manual", "emulator", "file", "external", "info_email", "web_service"}, "license_per": {"unit", "item"},
	"method": {"card", "bank_transfer"}, "payment_method": {"card", "bank_transfer", ""}, "gateway": {"bank_transfer", "stripe"}, "number": {"4242424242424242", "4000000000000002", "4000002500003155", "4000000000000077"},
	"cvc": {"123"}, "url": {"https://shop.example/hooks"}, "return_url": {"https://shop.example/thanks"}, "type": {"custom.seen", "individual", "business"}, "events": {"*", "order.*", "payment.succeeded"},
	"coupon": {"FRESH", "EXHIBIT-2"}, "delete_unpaid_after": {"1h", "2160h"}, "online": {"1h", "48h"}, "offline": {"0s", "144h"}, "starts_at": {"2026-01-01T00:00:00Z"}, "ends_at": {"2030-01-01T00:00:00Z"},
	"expires_at": {"2035-01-01T00:00:00Z"}, "refund_approval": {"auto", "owner"}, "key": {"AAAA-BBBB", "EDIT-1"}, "keys": {"AAAA-BBBB", "CCCC-DDDD", "EEEE"}, "reason": {"changed my mind"},
}

// named are the kinds of ids that fields and parameters of a name want.
var named = map[string]string{"cursor": "cursor", "endpoint": "whe", "event": "evt", "order": "ord", "item": "itm"}

func (d *dice) word(name string, s *huma.Schema) string {
	if d.wrong(12) {
		return d.text()
	}
	if name == "sku" || name == "code" {
		return fmt.Sprintf("S-%d", d.IntN(1000))
	}
	if kind, ok := named[name]; ok && d.chance(90) {
		return d.known.of(d, kind)
	}
	if known, ok := sensible[name]; ok {
		return pick(d, known)
	}
	switch s.Format {
	case "date-time":
		return time.Unix(d.Int64N(4e9), 0).UTC().Format(time.RFC3339)
	case "uri":
		return "https://shop.example/" + fmt.Sprint(d.IntN(100))
	}
	return strings.Repeat("x", 1+d.IntN(12))
}

// body is the body of an operation: as documented, or that with something wrong, or something else altogether.
func (d *dice) body(r *route) []byte {
	op := operationOf(d.doc, r)
	var v any
	switch media := jsonMedia(op); {
	case d.honest && validBodies[r.id] != "" && d.chance(50):
		return []byte(strings.NewReplacer("FRESH", fmt.Sprintf("F-%d", d.IntN(1e6)), "fresh", fmt.Sprintf("f-%d", d.IntN(1e6))).Replace(validBodies[r.id]))
	case media == nil || d.wrong(5):
		if d.honest || d.chance(50) {
			return nil
		}
		v = d.anything(3)
	case d.wrong(15) && validBodies[r.id] != "":
		return d.spoiled([]byte(validBodies[r.id]), 30)
	default:
		v = d.value("", media.Schema, 6)
	}
	raw, err := json.Marshal(v)
	if err != nil { // a number that is none
		raw = fmt.Append(nil, v)
	}
	return d.spoiled(raw, 10)
}

func jsonMedia(op *huma.Operation) *huma.MediaType {
	if op.RequestBody == nil {
		return nil
	}
	return op.RequestBody.Content[jsonType]
}

// spoiled changes bytes, in so many of a hundred cases.
func (d *dice) spoiled(raw []byte, percent int) []byte {
	if !d.wrong(percent) || len(raw) == 0 {
		return raw
	}
	raw = slices.Clone(raw)
	for range 1 + d.IntN(4) {
		i := d.IntN(len(raw))
		switch d.IntN(5) {
		case 0:
			raw[i] = byte(d.IntN(256))
		case 1:
			raw = append(raw[:i:i], raw[min(i+1+d.IntN(8), len(raw)):]...)
		case 2:
			raw = slices.Insert(raw, i, []byte(pick(d, oddities))...)
		case 3:
			raw = slices.Insert(raw, i, raw[i:min(i+d.IntN(20), len(raw))]...)
		case 4:
			raw = raw[:i]
		}
		if len(raw) == 0 {
			break
		}
	}
	return raw
}

// query is the query of an operation.
func (d *dice) query(params []*huma.Param) string {
	q := url.Values{}
	for _, p := range params {
		if p.In == "query" && d.chance(30) {
			q.Add(p.Name, fmt.Sprint(d.value(p.Name, p.Schema, 1)))
		}
	}
	for _, filter := range []string{"endpoint", "event", "product"} {
		if d.wrong(3) {
			q.Set(filter, d.known.any(d))
		}
	}
	raw := q.Encode()
	if d.wrong(4) {
		raw += "&" + escaped(d.text()) + "=" + escaped(d.text())
	}
	if d.wrong(2) {
		raw += d.text()
	}
	return raw
}

// escaped is text as it may stand in an address.
func escaped(s string) string { return url.PathEscape(s) }
