package payment

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Examples that banks and public libraries for ISO 11649 print.
var creditorVectors = map[string]string{
	"RF18539007547034":          "539007547034",
	"RF18000000000539007547034": "000000000539007547034",
	"RF471234567890":            "1234567890",
	"RF712348231":               "2348231",
}

func TestCreditorReferenceVectors(t *testing.T) {
	t.Parallel()
	for reference, number := range creditorVectors {
		got, err := CreditorReference(number)
		if err != nil || got != reference {
			t.Errorf("reference of %s is %s, %v, want %s", number, got, err, reference)
		}
		for _, written := range []string{reference, PrintCreditorReference(reference), strings.ToLower(reference), "\t" + reference + " \n"} {
			if got, err := ParseCreditorReference(written); err != nil || got != number {
				t.Errorf("%q reads as %s, %v, want %s", written, got, err, number)
			}
		}
	}
	if got := PrintCreditorReference("RF18539007547034"); got != "RF18 5390 0754 7034" {
		t.Errorf("prints as %s", got)
	}
	if got := PrintCreditorReference("RF712348231"); got != "RF71 2348 231" {
		t.Errorf("prints as %s", got)
	}
}

func TestCreditorReferenceRefuses(t *testing.T) {
	t.Parallel()
	for _, number := range []string{"", strings.Repeat("1", 22), "a1", "A-1", "A 1", "Ä", "A1\n", "１"} {
		if got, err := CreditorReference(number); err == nil || got != "" {
			t.Errorf("%q gave %q", number, got)
		}
	}
	if _, err := CreditorReference(strings.Repeat("Z", 21)); err != nil {
		t.Errorf("21 characters: %v", err)
	}
	for _, text := range []string{
		"", "RF", "RF18", "RF19539007547034", "RF18539007547035", "RF18359007547034", "FR18539007547034", "18539007547034",
		"RF18-5390-0754-7034", "RF185390075470340000000000", "RF1853900754703é", "RF１８539007547034",
	} {
		if got, err := ParseCreditorReference(text); err == nil || got != "" {
			t.Errorf("%q reads as %q", text, got)
		}
	}
}

// 97 more or less leaves the remainder alone: RF00, RF01 and RF99 must not
// become second spellings of RF97, RF98 and RF02.
func TestCreditorReferenceHasOneSpelling(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for i := range 500 {
		number := "A" + strconv.Itoa(i)
		reference, err := CreditorReference(number)
		if err != nil {
			t.Fatal(err)
		}
		other, ok := map[string]string{"97": "00", "98": "01", "02": "99"}[reference[2:4]]
		if !ok {
			continue
		}
		found[other] = true
		if _, err := ParseCreditorReference("RF" + other + number); err == nil {
			t.Errorf("RF%s%s is taken beside %s", other, number, reference)
		}
	}
	if len(found) != 3 {
		t.Errorf("only %v was tried", found)
	}
}

// A digit for a letter may slip through, because letters count as two digits;
// the standard promises digit for digit and letter for letter.
func TestCreditorReferenceSeesMistakes(t *testing.T) {
	t.Parallel()
	const digits, letters = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`[0-9A-Z]{1,21}`).Draw(t, "number")
		reference, err := CreditorReference(number)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseCreditorReference(PrintCreditorReference(reference)); err != nil || got != number {
			t.Fatalf("%s reads as %s, %v", reference, got, err)
		}
		for at := range reference {
			wrong, characters := []byte(reference), letters
			if strings.IndexByte(digits, reference[at]) >= 0 {
				characters = digits
			}
			for _, c := range []byte(characters) {
				if wrong[at] = c; string(wrong) == reference {
					continue
				}
				if _, err := ParseCreditorReference(string(wrong)); err == nil {
					t.Fatalf("%s is taken for %s", wrong, reference)
				}
			}
		}
	})
}

func TestBankTransfer(t *testing.T) {
	t.Parallel()
	got, err := BankTransfer("A0000000123", 9800, "EUR")
	if err != nil {
		t.Fatal(err)
	}
	if number, err := ParseCreditorReference(got.Reference); err != nil || number != "A0000000123" {
		t.Errorf("the reference %s reads as %s, %v", got.Reference, number, err)
	}
	if got.Amount != 9800 || got.Currency != "EUR" {
		t.Errorf("instructions are %+v", got)
	}
	got, err = BankTransfer("A-1", 0, "eur")
	const want = "amount must be above zero; currency must be an ISO 4217 code of three capital letters; " +
		"order_number must have 1 to 21 digits and capital letters"
	var first FieldError
	if err == nil || err.Error() != want || !errors.As(err, &first) || first.Field != "amount" {
		t.Errorf("error is %v, want %s", err, want)
	}
	if got != (Instructions{}) {
		t.Errorf("instructions %+v beside an error", got)
	}
}

func FuzzParseCreditorReference(f *testing.F) {
	for reference := range creditorVectors {
		f.Add(reference)
	}
	f.Add("rf18 5390 0754 7034")
	f.Add("RF")
	f.Add("RF97\xff")
	f.Fuzz(func(t *testing.T, text string) {
		number, err := ParseCreditorReference(text)
		if err != nil {
			return
		}
		reference, err := CreditorReference(number)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseCreditorReference(reference); err != nil || again != number {
			t.Fatalf("%s reads as %s, %v", reference, again, err)
		}
	})
}
