package payment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var november = time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)

func goodCard() Card {
	return Card{Number: "4242424242424242", ExpMonth: 12, ExpYear: 2030, CVC: "123"}
}

func TestValidateCard(t *testing.T) {
	t.Parallel()
	with := func(spoil func(*Card)) Card {
		card := goodCard()
		spoil(&card)
		return card
	}
	for name, tc := range map[string]struct {
		card Card
		want []string
	}{
		"good":               {goodCard(), nil},
		"spaces and dashes":  {with(func(c *Card) { c.Number = " 4242 4242-4242 4242 " }), nil},
		"12 digits":          {with(func(c *Card) { c.Number = "400000000002" }), nil},
		"19 digits":          {with(func(c *Card) { c.Number = "4000000000000000006" }), nil},
		"American Express":   {with(func(c *Card) { c.Number, c.CVC = "378282246310005", "1234" }), nil},
		"two-digit year":     {with(func(c *Card) { c.ExpYear = 30 }), nil},
		"this month":         {with(func(c *Card) { c.ExpMonth, c.ExpYear = 11, 2026 }), nil},
		"fifty years ahead":  {with(func(c *Card) { c.ExpYear = 2076 }), nil},
		"no number":          {with(func(c *Card) { c.Number = " - " }), []string{"card.number is required"}},
		"letters":            {with(func(c *Card) { c.Number = "4242x24242424242" }), []string{"card.number must have digits only, spaces and dashes aside"}},
		"other digits":       {with(func(c *Card) { c.Number = "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢" }), []string{"card.number must have digits only, spaces and dashes aside"}},
		"11 digits":          {with(func(c *Card) { c.Number = "40000000006" }), []string{"card.number must have 12 to 19 digits"}},
		"20 digits":          {with(func(c *Card) { c.Number = "40000000000000000006" }), []string{"card.number must have 12 to 19 digits"}},
		"Luhn":               {with(func(c *Card) { c.Number = "4242424242424241" }), []string{"card.number is not a card number; please check for a typing mistake"}},
		"month 0":            {with(func(c *Card) { c.ExpMonth = 0 }), []string{"card.exp_month must be from 1 to 12"}},
		"month 13":           {with(func(c *Card) { c.ExpMonth = 13 }), []string{"card.exp_month must be from 1 to 12"}},
		"no year":            {with(func(c *Card) { c.ExpYear = 0 }), []string{"card.exp_year is required"}},
		"negative year":      {with(func(c *Card) { c.ExpYear = -1 }), []string{"card.exp_year is required"}},
		"last year":          {with(func(c *Card) { c.ExpYear = 2025 }), []string{"card.exp_year is in the past"}},
		"two-digit past":     {with(func(c *Card) { c.ExpYear = 25 }), []string{"card.exp_year is in the past"}},
		"last month":         {with(func(c *Card) { c.ExpMonth, c.ExpYear = 10, 2026 }), []string{"card.exp_month is in the past"}},
		"bad month and past": {with(func(c *Card) { c.ExpMonth, c.ExpYear = 0, 2026 }), []string{"card.exp_month must be from 1 to 12"}},
		"far ahead":          {with(func(c *Card) { c.ExpYear = 2077 }), []string{"card.exp_year must be within the next 50 years"}},
		"no cvc":             {with(func(c *Card) { c.CVC = "" }), []string{"card.cvc must have 3 or 4 digits"}},
		"short cvc":          {with(func(c *Card) { c.CVC = "12" }), []string{"card.cvc must have 3 or 4 digits"}},
		"long cvc":           {with(func(c *Card) { c.CVC = "12345" }), []string{"card.cvc must have 3 or 4 digits"}},
		"letters in cvc":     {with(func(c *Card) { c.CVC = "12a" }), []string{"card.cvc must have 3 or 4 digits"}},
		"nothing": {Card{}, []string{"card.number is required", "card.exp_month must be from 1 to 12", "card.exp_year is required",
			"card.cvc must have 3 or 4 digits"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, err := range ValidateCard(tc.card, november) {
				got = append(got, err.Error())
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCardExpiresAtTheEndOfItsMonthInUTC(t *testing.T) {
	t.Parallel()
	card := goodCard()
	card.ExpMonth, card.ExpYear = 11, 2026
	if wrong := ValidateCard(card, november.In(time.FixedZone("", 3600))); len(wrong) != 0 {
		t.Errorf("refused in its last second: %v", wrong)
	}
	if wrong := ValidateCard(card, november.Add(time.Second)); len(wrong) != 1 || wrong[0].Field != "card.exp_month" {
		t.Errorf("a second later: %v", wrong)
	}
}

func TestLuhnSeesEveryWrongDigit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number := []byte(rapid.StringMatching(`[0-9]{11,18}`).Draw(t, "number") + "0")
		valid := 0
		for d := byte('0'); d <= '9'; d++ {
			if number[len(number)-1] = d; luhn(string(number)) {
				valid++
			}
		}
		if valid != 1 {
			t.Fatalf("%d check digits fit %s", valid, number)
		}
		for !luhn(string(number)) {
			number[len(number)-1]--
		}
		at := rapid.IntRange(0, len(number)-1).Draw(t, "at")
		number[at] = '0' + (number[at]-'0'+byte(rapid.IntRange(1, 9).Draw(t, "by")))%10
		if luhn(string(number)) {
			t.Fatalf("the wrong digit at %d goes unseen", at)
		}
	})
}

func TestCardNeverComesOut(t *testing.T) {
	t.Parallel()
	card := Card{Number: "4000002500003155", ExpMonth: 11, ExpYear: 2031, CVC: "987"}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t", "%20v"} {
		fmt.Fprintf(&out, verb+"\n", card)
		fmt.Fprintf(&out, verb+"\n", &card)
		fmt.Fprintf(&out, verb+"\n", struct{ Card Card }{card})
		fmt.Fprintf(&out, verb+"\n", []Card{card})
	}
	out.WriteString(card.String() + card.GoString() + "\n")
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("charge", "card", card, "pointer", &card, "request", ChargeRequest{Card: &card})
	}
	for _, value := range []any{card, &card, ChargeRequest{Card: &card}, map[string]any{"card": card}} {
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(raw)
	}
	text := out.String()
	if strings.Count(text, cardMask) < 40 {
		t.Errorf("masks are missing in\n%s", text)
	}
	for _, secret := range []string{card.Number, card.Number[12:], "34303030", card.CVC, "2031"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s came out in\n%s", secret, text)
		}
	}
}

func TestCardDecodesFromTheAPI(t *testing.T) {
	t.Parallel()
	var card Card
	if err := json.Unmarshal([]byte(`{"number":"4242424242424242","exp_month":12,"exp_year":2030,"cvc":"123"}`), &card); err != nil {
		t.Fatal(err)
	}
	if card != goodCard() {
		t.Error("decoded another card")
	}
}
