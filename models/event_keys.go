package models

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
)

// unmask puts an order's licence keys back where a stored event names their licences. Everything else stays as it is, to the byte.
func (s *Store) unmask(ctx context.Context, orderID string, data RawJSON) (RawJSON, error) {
	var licenses []License
	if err := s.read(ctx).Where("order_id = ?", orderID).Find(&licenses).Error; err != nil {
		return "", err
	}
	keys := make(map[string]string, len(licenses))
	for i := range licenses {
		key, err := s.LicenseKey(&licenses[i])
		if err != nil {
			return "", err
		}
		keys[licenses[i].ID] = key
	}
	out, err := putKeys(string(data), keys)
	return RawJSON(out), err
}

// jsonScope is an object or array that is being read.
type jsonScope struct {
	object   bool
	named    bool // whether a value comes next, that of member; otherwise a name comes next
	member   string
	id       string
	from, to int // of the value of the member key
}

type jsonEdit struct {
	from, to int
	with     string
}

// putKeys replaces the member key of every object in a JSON text whose member id is in keys.
func putKeys(text string, keys map[string]string) (string, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var open []jsonScope
	var edits []jsonEdit
	for {
		begin := int(decoder.InputOffset())
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			break
		}
		if err != nil {
			return "", err
		}
		end := int(decoder.InputOffset())
		if d, ok := token.(json.Delim); ok && (d == '}' || d == ']') {
			closed := open[len(open)-1]
			open = open[:len(open)-1]
			if key, ok := keys[closed.id]; ok && closed.to > 0 {
				with, err := json.Marshal(key)
				if err != nil {
					return "", err
				}
				edits = append(edits, jsonEdit{closed.from, closed.to, string(with)})
			}
			continue
		}
		if len(open) > 0 {
			open[len(open)-1].take(token, begin+max(strings.IndexByte(text[begin:], '"'), 0), end)
		}
		if d, ok := token.(json.Delim); ok {
			open = append(open, jsonScope{object: d == '{'})
		}
	}
	slices.SortFunc(edits, func(a, b jsonEdit) int { return b.from - a.from })
	for _, e := range edits { // from the end, so that the offsets before stay true
		text = text[:e.from] + e.with + text[e.to:]
	}
	return text, nil
}

// take looks at a token inside a scope: in an object a name, or a value or its beginning. A token that is a string stands between two
// offsets of the text.
func (o *jsonScope) take(token json.Token, from, to int) {
	value, isString := token.(string)
	if !o.object {
		return
	}
	if !o.named {
		o.named, o.member = true, value
		return
	}
	o.named = false
	switch {
	case isString && o.member == "id":
		o.id = value
	case isString && o.member == "key":
		o.from, o.to = from, to
	}
}
