package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

var made = time.Date(2026, 11, 27, 16, 19, 3, 35_945_000, time.UTC)

const (
	orderID   = "ord_06h1vkcrznthn1e1eykddfq79m"
	licenseID = "lic_06h1vkcs9st952e1eykddfq79m"
	jobID     = "01a21dcd-98fd-7c94-97f4-0123456789ab"
	token     = "wq8_8e2PVSwg61Ka2qhJwq8_8e2PVSwg"
	sealed    = "01f0367e18"
)

// anOrder is one with a licence and two jobs, the second of which tells a webhook endpoint.
func anOrder(t *testing.T) *specimen {
	t.Helper()
	s, err := cut(map[string]string{
		"orders":   orderID + "\tA0000000042\tada@shop.example\t" + token + "\t2026-11-27 16:19:03.035945+00\t{\"at\":\"2026-11-27T16:19:04.1Z\",\"shop\":\"mer_06h1vkcq6hyxx9zjje67nd71hc\"}\n",
		"licenses": licenseID + "\t" + orderID + "\t\\\\x" + sealed + "\n",
		"jobs":     jobID + "\titem.fulfil\t" + orderID + "\n" + "01a21dcd-98fd-7c95-97f4-0123456789ab\twebhook.deliver\t" + orderID + "\n",
	}, known{
		created: made, number: "A0000000042", email: "ada@shop.example", secrets: []string{token}, sealed: map[string]string{sealed: licenseID},
		seal: func(plain, context string) []byte { return []byte(plain + " for " + context) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestACopyHasValuesOfItsOwn(t *testing.T) {
	s := anOrder(t)
	at := made.Add(-48 * time.Hour)
	order := strings.Split(string(s.write(nil, "orders", 7, at)), "\t")
	for i, want := range []string{
		`ord_06h17070znthn[0-9a-z]{13}`, `C0000000007`, `c[0-9a-f]{12}@bench\.example`, `[0-9a-f]{32}`, `2026-11-25 16:19:03\.035945\+00`,
		`\{"at":"2026-11-25T16:19:04\.1Z","shop":"mer_06h1vkcq6hyxx9zjje67nd71hc"\}` + "\n",
	} {
		if !regexp.MustCompile("^" + want + "$").MatchString(order[i]) {
			t.Errorf("column %d is %q, want %s", i, order[i], want)
		}
	}
	license := strings.Split(strings.TrimSuffix(string(s.write(nil, "licenses", 7, at)), "\n"), "\t")
	if license[1] != order[0] {
		t.Errorf("the licence is of the order %s, not %s", license[1], order[0])
	}
	if want := `\\x` + hex.EncodeToString([]byte("BENCHKEY-00000007 for "+license[0])); license[2] != want {
		t.Errorf("the key is %s, want %s", license[2], want)
	}
	if again := string(s.write(nil, "orders", 7, at)); again != strings.Join(order, "\t") {
		t.Errorf("the same copy is different the second time: %s", again)
	}
	next := strings.Split(string(s.write(nil, "orders", 8, at)), "\t")
	for i := range 4 {
		if next[i] == order[i] {
			t.Errorf("two copies have the same %q in column %d", next[i], i)
		}
	}
}

func TestIDsOfCopiesSortByTheirTime(t *testing.T) {
	s := anOrder(t)
	var last string
	for n := range 100 {
		at := made.Add(time.Duration(n) * time.Millisecond)
		rows := strings.Split(string(s.write(nil, "jobs", n, at)), "\n")
		for _, r := range rows[:2] {
			if id := r[:36]; id <= last || id < uuidAt(at) || id >= uuidAt(at.Add(time.Second)) {
				t.Fatalf("copy %d has the job %s after %s", n, id, last)
			} else {
				last = id
			}
		}
	}
}

func TestRowsOfASpecimen(t *testing.T) {
	s := anOrder(t)
	without := s.without("jobs", "webhook.deliver")
	for table, want := range map[string]int{"orders": 1, "licenses": 1, "jobs": 2, "deliveries": 0} {
		if got := s.rows(table); got != want {
			t.Errorf("%s has %d rows, want %d", table, got, want)
		}
		if table == "jobs" {
			want--
		}
		if got := without.rows(table); got != want {
			t.Errorf("without the webhook, %s has %d rows, want %d", table, got, want)
		}
	}
	if got := string(without.write(nil, "jobs", 1, made)); !strings.Contains(got, "item.fulfil") || strings.Contains(got, "webhook") {
		t.Errorf("what is left is %q", got)
	}
	if got := s.without("jobs", "").rows("jobs"); got != 0 {
		t.Errorf("%d of all rows are left", got)
	}
}

func TestAPopulationTakesItsSpecimensInTurn(t *testing.T) {
	s := anOrder(t)
	p := population{specimens: []*specimen{s, s.without("jobs", ""), s.untold()}, first: 100, n: 7000, began: made, every: time.Second}
	for table, want := range map[string]int{"orders": 7000, "jobs": 3*2333 + 2} {
		text, err := io.ReadAll(p.text(table))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(text), "\n"); got != want || p.rows(table) != want {
			t.Errorf("%s: %d rows, said to be %d, want %d", table, got, p.rows(table), want)
		}
	}
	if err := iotest.TestReader(population{specimens: []*specimen{s}, n: 1, began: made}.text("orders"), s.write(nil, "orders", 0, made)); err != nil {
		t.Error(err)
	}
	text, _ := io.ReadAll(p.text("orders"))
	for _, n := range []int{100, 7099} {
		if want := fmt.Sprintf("C%010d", n); strings.Count(string(text), want) != 1 {
			t.Errorf("there is not one order %s", want)
		}
	}
}

func TestWhatIsNoOrdersCannotBeCut(t *testing.T) {
	if _, err := cut(map[string]string{"jobs": "ord_0123456789abcdefghijklmnop"}, known{created: made, number: "A1", email: "a@b"}); err == nil {
		t.Error("an id that no UUID has was taken")
	}
}
