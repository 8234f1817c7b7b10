package main

import "strings"

// good is what a key was sold as.
type good struct {
	to   *purchase
	item string
}

// goods are all that were sold, by their keys.
type goods map[string]good

// checkLetters reads every email that came to anybody: the keys of an item stand together in one of its customer's, and nowhere else.
func (t *trial) checkLetters(sold goods) {
	keys := map[good]int{}
	for _, g := range sold {
		keys[g]++
	}
	search := newSearch(sold)
	complete := map[good]int{} // emails that have all the keys
	read := func(id, text string, to *purchase) {
		has := map[good]int{}
		for key := range search.keysIn(text) {
			has[sold[key]]++
		}
		for g, n := range has {
			switch {
			case g.to != to:
				t.wrong(double, "email %s has keys of item %s, which is %s's", id, g.item, g.to.name)
			case n == keys[g]:
				complete[g]++
			default:
				t.wrong(lost, "email %s has only some of the keys of item %s", id, g.item)
			}
		}
	}
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	for _, p := range t.ledger.all {
		for id, text := range p.letters {
			read(id, text, p)
		}
	}
	for id, text := range t.ledger.notices {
		read(id, text, nil)
	}
	for g := range keys {
		switch n := complete[g]; {
		case n == 0:
			t.wrong(lost, "no email has the keys of item %s", g.item)
		case n > 1:
			t.wrong(double, "%d different emails have the keys of item %s", n, g.item)
		}
	}
}

// search finds keys in texts. There are tens of thousands of each, so it goes through a text once, and knows a key by its end: many begin
// alike.
type search struct {
	end   int
	byEnd map[string][]string
}

func newSearch(sold goods) *search {
	s := &search{end: 8, byEnd: map[string][]string{}}
	for key := range sold {
		if key != "" {
			s.end = min(s.end, len(key))
		}
	}
	for key := range sold {
		if key != "" {
			end := key[len(key)-s.end:]
			s.byEnd[end] = append(s.byEnd[end], key)
		}
	}
	return s
}

// keysIn returns the keys that a text has.
func (s *search) keysIn(text string) map[string]bool {
	found := map[string]bool{}
	for i := s.end; i <= len(text); i++ {
		for _, key := range s.byEnd[text[i-s.end:i]] {
			if strings.HasSuffix(text[:i], key) {
				found[key] = true
			}
		}
	}
	return found
}
