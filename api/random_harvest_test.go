package api

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// harvest is what answers have told: ids, and the addresses of pages.
type harvest struct {
	mu  sync.Mutex
	ids map[string][]string // by prefix; tokens by the path that they follow
}

var (
	idShape     = regexp.MustCompile(`"(ord|itm|pay|prd|lic|evt|whe|dlv|rfd|cpn|ofr|lnk|pmt|crt)_[0-9a-z]{26}"`)
	linkShape   = regexp.MustCompile(`(/(?:pay|order|link|gateway/test)/)([A-Za-z0-9_.~-]{20,})`)
	cursorShape = regexp.MustCompile(`"next_cursor":"([^"]+)"`)
	cartShape   = regexp.MustCompile(`name="cart" value="([^"]+)"`)
)

const harvested = 100 // of each kind

func (h *harvest) add(kind, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ids[kind]) < harvested {
		h.ids[kind] = append(h.ids[kind], id)
		return
	}
	h.ids[kind] = append(slices.Delete(h.ids[kind], 0, 1), id) // the oldest is the likeliest to be used up
}

func (h *harvest) reap(body []byte) {
	for _, m := range idShape.FindAll(body, 40) {
		id := strings.Trim(string(m), `"`)
		h.add(id[:3], id)
	}
	for _, m := range linkShape.FindAllSubmatch(body, 10) {
		h.add(string(m[1]), string(m[2]))
	}
	for kind, shape := range map[string]*regexp.Regexp{"cart": cartShape, "cursor": cursorShape} {
		if m := shape.FindSubmatch(body); m != nil {
			h.add(kind, string(m[1]))
		}
	}
}

// of is one of a kind, or nonsense.
func (h *harvest) of(d *dice, kind string) string {
	if d.wrong(4) {
		return escaped(d.text())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ids[kind]) == 0 {
		return "x"
	}
	return pick(d, h.ids[kind])
}

func (h *harvest) any(d *dice) string {
	return h.of(d, pick(d, []string{"ord", "itm", "pay", "prd", "evt", "whe", "dlv", "cpn", "ofr", "lnk", "pmt", "/pay/", "/link/"}))
}
