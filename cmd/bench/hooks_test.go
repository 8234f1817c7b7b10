package main

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestReadHook(t *testing.T) {
	at := time.Date(2026, 11, 27, 16, 19, 3, 35_945_000, time.UTC)
	for name, tt := range map[string]struct {
		body string
		n    int
		ok   bool
	}{
		"purser's":     {`{"id":"evt_06h1vkcrznthn1e1eykddfq79m","type":"custom.bench","timestamp":"2026-11-27T16:19:03.035945Z","test":true,"data":{"n":42}}`, 42, true},
		"a bare one":   {string(bareHook(7, at)), 7, true},
		"no number":    {`{"timestamp":"2026-11-27T16:19:03.035945Z","data":{}}`, 0, false},
		"no time":      {`{"data":{"n":42}}`, 0, false},
		"a wrong time": {`{"timestamp":"yesterday","data":{"n":42}}`, 0, false},
		"no JSON":      {`n=42`, 0, false},
	} {
		n, got, ok := readHook([]byte(tt.body))
		if ok != tt.ok || ok && (n != tt.n || !got.Equal(at)) {
			t.Errorf("%s: %d, %s, %t", name, n, got, ok)
		}
	}
}

// counted are hooks whose events arrive only when a test says so.
func counted(t *testing.T, n int) *hooks {
	t.Helper()
	h := &hooks{make: func(int) error { return nil }}
	h.reset()
	for range n {
		if err := h.send(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func TestAnEventCountsWhenItArrivesForTheFirstTime(t *testing.T) {
	h := counted(t, 2)
	h.got(bareHook(1, time.Now().Add(-time.Minute)))
	h.got(bareHook(1, time.Now().Add(-time.Hour)))
	h.got(bareHook(3, time.Now()))
	h.got([]byte("unreadable"))
	if n := h.missing(); n != 1 {
		t.Errorf("%d of two are missing", n)
	}
	h.got(bareHook(2, time.Now().Add(-time.Minute)))
	for _, took := range h.times(time.Now()) {
		if took < time.Minute || took > 2*time.Minute {
			t.Errorf("an event of a minute ago took %s", took)
		}
	}
}

func TestAnEventOfAnEarlierMeasurementDoesNotCount(t *testing.T) {
	h := counted(t, 1)
	h.reset()
	if err := h.send(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.got(bareHook(1, time.Now()))
	if n := h.missing(); n != 1 {
		t.Errorf("%d of one are missing", n)
	}
	h.got(bareHook(2, time.Now()))
	if n := h.missing(); n != 0 {
		t.Errorf("%d are missing at the end", n)
	}
}

func TestAnEventThatDoesNotArriveIsCountedWithTheWholeWait(t *testing.T) {
	h := counted(t, 2)
	h.got(bareHook(1, time.Now()))
	took := h.times(time.Now().Add(time.Hour))
	if len(took) != 2 || max(took[0], took[1]) < time.Hour || min(took[0], took[1]) > time.Minute {
		t.Errorf("they took %s", took)
	}
}

func TestTheRateIsFromTheFirstArrivalToTheLast(t *testing.T) {
	h := &hooks{}
	h.reset()
	for n, after := range []time.Duration{3, 1, 2, 5} {
		h.events[n] = passage{arrived: made.Add(after * time.Second)}
	}
	if got := h.rate(); got != 1 {
		t.Errorf("four from second 1 to second 5 are %v a second", got)
	}
}

func TestBareHooksArrive(t *testing.T) {
	h, err := newBareHooks()
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	took, err := h.steady(t.Context(), 100, 100*time.Millisecond)
	if err != nil || len(took) != 10 || h.missing() != 0 {
		t.Errorf("%d arrived, %d are missing, %v", len(took), h.missing(), err)
	}
	for _, d := range took {
		if d < 0 {
			t.Errorf("one took %s", d)
		}
	}
}

func TestSteadyTellsOfARequestThatFails(t *testing.T) {
	errBroken := errors.New("broken")
	h := &hooks{make: func(int) error { return errBroken }}
	if _, err := h.steady(context.Background(), 100, 20*time.Millisecond); !errors.Is(err, errBroken) {
		t.Errorf("the error is %v", err)
	}
}
