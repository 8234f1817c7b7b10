package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// specimen is an order that purser has made, with every row that belongs to it, cut up so that it can be written again and again: each
// copy has ids, times, secrets and a customer of its own, and everything else as purser wrote it.
type specimen struct {
	tables map[string][]part // in the text format of COPY
}

// part is text that all copies share, and a value that each has for itself behind it.
type part struct {
	shared []byte
	own    value
}

type valueKind int

const (
	noValue     valueKind = iota // at the end of a text
	orderNumber                  // A and ten digits
	prefixedID                   // a UUIDv7 in base 32 behind a prefix
	plainID                      // a UUIDv7
	storedTime                   // as PostgreSQL writes it
	toldTime                     // as JSON has it
	secret                       // text that nobody can guess, and that therefore lies anywhere in an index
	email
	sealedKey // a licence's key, which opens for this licence only
)

// value is what takes the place of a value of the specimen.
type value struct {
	kind valueKind
	// number is the same wherever the same value stands, and no other's.
	number uint64
	after  time.Duration // from the order's creation
	prefix string        // of an id
	order  uint16        // of an id among those of its millisecond
	length int           // of a secret
	// license is the id of the licence that a sealed key is on.
	license *value
	seal    func(plain, context string) []byte
}

// ownIDs are the kinds of ids that belong to one order.
const ownIDs = "ord|itm|pay|lic|evt|dlv|eml|his"

// The layouts of times in the rows; both leave out the zeros at their ends.
const (
	storedLayout = "2006-01-02 15:04:05.999999+00"
	toldLayout   = "2006-01-02T15:04:05.999999Z"
)

var ownValue = regexp.MustCompile(`\b(?:` + ownIDs + `)_[0-9a-z]{26}\b` +
	`|\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b` +
	`|\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?\+00\b` +
	`|\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z`)

// known are the values of a specimen that have no shape by which to know them.
type known struct {
	created time.Time
	number  string
	email   string
	secrets []string
	sealed  map[string]string // the id of the licence, by its sealed key in hexadecimal
	seal    func(plain, context string) []byte
}

// cut makes a specimen from the rows of an order, by table.
func cut(rows map[string]string, k known) (*specimen, error) {
	s := &specimen{tables: map[string][]part{}}
	shapes := []string{ownValue.String(), regexp.QuoteMeta(k.number), regexp.QuoteMeta(k.email)}
	for _, text := range k.secrets {
		shapes = append(shapes, regexp.QuoteMeta(text))
	}
	for text := range k.sealed {
		shapes = append(shapes, text)
	}
	own := regexp.MustCompile(strings.Join(shapes, "|"))
	values := map[string]value{}
	for table, text := range rows {
		var parts []part
		rest := 0
		for _, at := range own.FindAllStringIndex(text, -1) {
			v, err := k.value(text[at[0]:at[1]], values)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", table, err)
			}
			parts = append(parts, part{[]byte(text[rest:at[0]]), v})
			rest = at[1]
		}
		s.tables[table] = append(parts, part{shared: []byte(text[rest:])})
	}
	if len(values) > 1<<valueBits {
		return nil, fmt.Errorf("an order with %d values of its own", len(values))
	}
	return s, nil
}

// value tells what a text that is an order's own is, and remembers it.
func (k known) value(text string, values map[string]value) (v value, err error) {
	if v, seen := values[text]; seen {
		return v, nil
	}
	switch {
	case k.sealed[text] != "":
		license, err := k.value(k.sealed[text], values)
		if err != nil {
			return v, err
		}
		v.kind, v.license, v.seal = sealedKey, &license, k.seal
	case text == k.number:
		v.kind = orderNumber
	case text == k.email:
		v.kind = email
	case slices.Contains(k.secrets, text):
		v.kind, v.length = secret, len(text)
	case strings.Contains(text, "_"):
		v.kind, v.prefix = prefixedID, text[:4]
		var id [16]byte
		if _, err := idAlphabet.Decode(id[:], []byte(text[4:])); err != nil {
			return v, fmt.Errorf("%s: %w", text, err)
		}
		v.id(id, k.created)
	case strings.Count(text, "-") == 4:
		id, err := uuid.Parse(text)
		if err != nil {
			return v, err
		}
		v.kind = plainID
		v.id(id, k.created)
	default:
		v.kind = storedTime
		layout := storedLayout
		if strings.HasSuffix(text, "Z") {
			v.kind, layout = toldTime, toldLayout
		}
		at, err := time.Parse(layout, text)
		if err != nil {
			return v, err
		}
		v.after = at.Sub(k.created)
	}
	v.number = uint64(len(values))
	values[text] = v
	return v, nil
}

// id takes from a UUIDv7 (RFC 9562) what its copies keep of it.
func (v *value) id(id [16]byte, created time.Time) {
	ms := int64(binary.BigEndian.Uint64(id[:8]) >> 16)
	v.after = time.UnixMilli(ms).Sub(created.Truncate(time.Millisecond))
	v.order = binary.BigEndian.Uint16(id[6:8])
}

// without returns the specimen as it would be if rows of a table had not been written: those that contain a text, or all for an empty
// one.
func (s *specimen) without(table, containing string) *specimen {
	out := &specimen{tables: map[string][]part{}}
	for name, parts := range s.tables {
		if name != table {
			out.tables[name] = parts
			continue
		}
		var kept []part
		for row := range rowsOf(parts) {
			if !slices.ContainsFunc(row, func(p part) bool { return bytes.Contains(p.shared, []byte(containing)) }) {
				kept = append(kept, row...)
			}
		}
		out.tables[name] = kept
	}
	return out
}

// rowsOf divides the text of a table at its line ends, which COPY writes nowhere else.
func rowsOf(parts []part) func(func([]part) bool) {
	return func(yield func([]part) bool) {
		var row []part
		for _, p := range parts {
			for {
				end := bytes.IndexByte(p.shared, '\n')
				if end < 0 {
					break
				}
				row = append(row, part{shared: p.shared[:end+1]})
				if !yield(row) {
					return
				}
				row, p.shared = nil, p.shared[end+1:]
			}
			row = append(row, p)
		}
	}
}

// rows counts the rows that a copy has in a table.
func (s *specimen) rows(table string) int {
	n := 0
	for range rowsOf(s.tables[table]) {
		n++
	}
	return n
}

// valueBits are for the number of a value, the bits above them for the number of a copy.
const valueBits = 10

// write appends the rows of a table of copy n, of an order that was made at a time.
func (s *specimen) write(to []byte, table string, n int, at time.Time) []byte {
	for _, p := range s.tables[table] {
		to = append(to, p.shared...)
		to = p.own.write(to, n, at)
	}
	return to
}

func (v value) write(to []byte, n int, at time.Time) []byte {
	seed := scatter(uint64(n)<<valueBits | v.number)
	switch v.kind {
	case orderNumber:
		to = fmt.Appendf(to, "C%010d", n)
	case prefixedID:
		id := v.newID(seed, at)
		to = idAlphabet.AppendEncode(append(to, v.prefix...), id[:])
	case plainID:
		id := uuid.UUID(v.newID(seed, at))
		to = append(to, id.String()...)
	case storedTime:
		to = at.Add(v.after).AppendFormat(to, storedLayout)
	case toldTime:
		to = at.Add(v.after).AppendFormat(to, toldLayout)
	case secret:
		end := len(to) + v.length
		for len(to) < end {
			to = hex.AppendEncode(to, binary.BigEndian.AppendUint64(nil, seed))
			seed = scatter(seed)
		}
		to = to[:end]
	case email:
		to = fmt.Appendf(to, "c%012x@bench.example", seed>>16)
	case sealedKey:
		to = hex.AppendEncode(to, v.seal(fmt.Sprintf("%s-%08d", keyMark, n), string(v.license.write(nil, n, at))))
	case noValue:
	}
	return to
}

// newID is a UUIDv7 of the time that the copy's has.
func (v value) newID(seed uint64, at time.Time) (id [16]byte) {
	ms := at.Truncate(time.Millisecond).Add(v.after).UnixMilli()
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16|uint64(v.order))
	binary.BigEndian.PutUint64(id[8:], 1<<63|seed>>2)
	return id
}

// uuidAt is where the UUIDv7s of a time begin.
func uuidAt(at time.Time) string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|7<<12)
	return id.String()
}

// scatter maps every number to another one that looks random, and no two to the same (the finaliser of SplitMix64).
func scatter(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// population is orders that come one after the other at an even pace, copies of specimens in turn.
type population struct {
	specimens []*specimen
	first, n  int // the copies' numbers
	began     time.Time
	every     time.Duration
}

// rows counts the rows of a table.
func (p population) rows(table string) int {
	total := 0
	for i, s := range p.specimens {
		total += (p.n + len(p.specimens) - 1 - i) / len(p.specimens) * s.rows(table)
	}
	return total
}

// text is what COPY has to read for a table.
func (p population) text(table string) io.Reader { return &populationText{population: p, table: table} }

type populationText struct {
	population
	table   string
	written int
	buffer  []byte
	unread  []byte
}

// Read implements io.Reader.
func (t *populationText) Read(into []byte) (int, error) {
	for len(t.unread) == 0 {
		if t.written == t.n {
			return 0, io.EOF
		}
		t.buffer = t.buffer[:0]
		for len(t.buffer) < 64<<10 && t.written < t.n {
			s := t.specimens[t.written%len(t.specimens)]
			t.buffer = s.write(t.buffer, t.table, t.first+t.written, t.began.Add(time.Duration(t.written)*t.every))
			t.written++
		}
		t.unread = t.buffer
	}
	n := copy(into, t.unread)
	t.unread = t.unread[n:]
	return n, nil
}
