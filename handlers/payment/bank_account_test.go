package payment

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Examples of the IBAN registry, as it prints them.
var ibanExamples = []string{
	"AD12 0001 2030 2003 5910 0100", "AE07 0331 2345 6789 0123 456", "AL47 2121 1009 0000 0002 3569 8741", "AT61 1904 3002 3457 3201",
	"AZ21 NABZ 0000 0000 1370 1000 1944", "BA39 1290 0794 0102 8494", "BE68 5390 0754 7034", "BG80 BNBG 9661 1020 3456 78",
	"BH67 BMAG 0000 1299 1234 56", "BR18 0036 0305 0000 1000 9795 493C 1", "CH93 0076 2011 6238 5295 7", "CR05 0152 0200 1026 2840 66",
	"CY17 0020 0128 0000 0012 0052 7600", "CZ65 0800 0000 1920 0014 5399", "DE89 3704 0044 0532 0130 00", "DK50 0040 0440 1162 43",
	"DO28 BAGR 0000 0001 2124 5361 1324", "EE38 2200 2210 2014 5685", "ES91 2100 0418 4502 0005 1332", "FI21 1234 5600 0007 85",
	"FO62 6460 0001 6316 34", "FR14 2004 1010 0505 0001 3M02 606", "GB29 NWBK 6016 1331 9268 19", "GE29 NB00 0000 0101 9049 17",
	"GI75 NWBK 0000 0000 7099 453", "GL89 6471 0001 0002 06", "GR16 0110 1250 0000 0001 2300 695", "GT82 TRAJ 0102 0000 0012 1002 9690",
	"HR12 1001 0051 8630 0016 0", "HU42 1177 3016 1111 1018 0000 0000", "IE29 AIBK 9311 5212 3456 78", "IL62 0108 0000 0009 9999 999",
	"IS14 0159 2600 7654 5510 7303 39", "IT60 X054 2811 1010 0000 0123 456", "JO94 CBJO 0010 0000 0000 0131 0003 02",
	"KW81 CBKU 0000 0000 0000 1234 5601 01", "KZ86 125K ZT50 0410 0100", "LB62 0999 0000 0001 0019 0122 9114", "LI21 0881 0000 2324 013A A",
	"LT12 1000 0111 0100 1000", "LU28 0019 4006 4475 0000", "LV80 BANK 0000 4351 9500 1", "MC58 1122 2000 0101 2345 6789 030",
	"MD24 AG00 0225 1000 1310 4168", "ME25 5050 0001 2345 6789 51", "MK07 2501 2000 0058 984", "MR13 0002 0001 0100 0012 3456 753",
	"MT84 MALT 0110 0001 2345 MTLC AST0 01S", "MU17 BOMM 0101 1010 3030 0200 000M UR", "NL91 ABNA 0417 1643 00", "NO93 8601 1117 947",
	"PK36 SCBL 0000 0011 2345 6702", "PL61 1090 1014 0000 0712 1981 2874", "PS92 PALS 0000 0000 0400 1234 5670 2",
	"PT50 0002 0123 1234 5678 9015 4", "QA58 DOHB 0000 1234 5678 90AB CDEF G", "RO49 AAAA 1B31 0075 9384 0000", "RS35 2600 0560 1001 6113 79",
	"SA03 8000 0000 6080 1016 7519", "SE45 5000 0000 0583 9825 7466", "SI56 2633 0001 2039 086", "SK31 1200 0000 1987 4263 7541",
	"SM86 U032 2509 8000 0000 0270 100", "TN59 1000 6035 1835 9847 8831", "TR33 0006 1005 1978 6457 8413 26", "UA21 3223 1300 0002 6007 2335 6600 1",
	"VA59 0011 2300 0012 3456 78", "VG96 VPVG 0000 0123 4567 8901", "XK05 1212 0123 4567 8906",
	"BI42 1000 0100 0100 0033 2045 181", "BY13 NBRB 3600 9000 0000 2Z00 AB00", "DJ21 0001 0000 0001 5400 0100 186",
	"EG38 0019 0005 0000 0000 2631 8000 2", "FK88 SC12 3456 7890 12", "HN88 CABF 0000 0000 0002 5000 5469", "IQ98 NBIQ 8501 2345 6789 012",
	"LC55 HEMM 0001 0001 0012 0012 0002 3015", "LY83 0020 4800 0020 1001 2036 1", "MN12 1234 1234 5678 9123",
	"NI45 BAPR 0000 0013 0000 0355 8124", "OM81 0180 0000 0129 9123 456", "RU03 0445 2522 5408 1781 0538 0913 1041 9",
	"SC18 SSCB 1101 0000 0000 0000 1497 USD", "SD21 2901 0501 2340 01", "SO21 1000 0010 0100 0100 141", "ST23 0001 0001 0051 8453 1014 6",
	"SV62 CENR 0000 0000 0000 0070 0025", "TL38 0080 0123 4567 8910 157", "YE09 CBKU 0000 0000 0000 1234 5601 01",
}

func TestParseIBAN(t *testing.T) {
	t.Parallel()
	countries := map[string]bool{}
	for _, example := range ibanExamples {
		want := strings.ReplaceAll(example, " ", "")
		countries[want[:2]] = true
		for _, written := range []string{example, want, strings.ToLower(example), "\t" + example + "\n"} {
			if got, err := ParseIBAN(written); err != nil || got != want {
				t.Errorf("%q reads as %s, %v", written, got, err)
			}
		}
		if got := PrintIBAN(want); got != example {
			t.Errorf("%s prints as %s", want, got)
		}
	}
	for country := range ibanLengths {
		if !countries[country] {
			t.Errorf("no example shows the length of %s", country)
		}
	}
	const (
		shape   = "iban must have a country code, two check digits and the account in digits and letters"
		country = "iban must begin with the code of a country that has IBANs"
		mistake = "iban is not an account number; please check for a typing mistake"
	)
	for text, want := range map[string]string{
		"":                            shape,
		"DE89":                        shape,
		"DE89-3704-0044-0532-0130-00": shape,
		"DE89 3704 0044 0532 0130 0０": shape,
		"US89370400440532013000":      country,
		"8937 0400 4405 3201 3000":    country,
		"DE8937040044053201300":       "iban must have 22 digits and letters in DE",
		"DE893704004405320130000":     "iban must have 22 digits and letters in DE",
		"BE685390075470340":           "iban must have 16 digits and letters in BE",
		"DE89370400440532013001":      mistake,
		"DE98370400440532013000":      mistake,
		"DEA9370400440532013000":      mistake,
		"DE89370400440532031000":      mistake,
	} {
		got, err := ParseIBAN(text)
		if err == nil || err.Error() != want || got != "" {
			t.Errorf("%q reads as %s, %v, want %s", text, got, err, want)
		}
		if field := (FieldError{}); !errors.As(err, &field) || field.Field != "iban" {
			t.Errorf("%q: %#v", text, err)
		}
	}
}

// Check digits that leave the right remainder but that nobody gives out.
func TestParseIBANRefusesAliases(t *testing.T) {
	t.Parallel()
	aliases := 0
	for i := range 2000 {
		account := strings.Repeat("0", 18-4) + string([]byte{'0' + byte(i/1000%10), '0' + byte(i/100%10), '0' + byte(i/10%10), '0' + byte(i%10)})
		for _, check := range []string{"00", "01", "99"} {
			if mod97(account+"DE"+check) != 1 {
				continue
			}
			aliases++
			if got, err := ParseIBAN("DE" + check + account); err == nil {
				t.Errorf("took %s", got)
			}
		}
	}
	if aliases == 0 {
		t.Error("no alias was tried")
	}
}

func TestIBANSeesEveryMistake(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		iban := []byte(strings.ReplaceAll(rapid.SampledFrom(ibanExamples).Draw(t, "iban"), " ", ""))
		at := rapid.IntRange(2, len(iban)-2).Draw(t, "at")
		if rapid.Bool().Draw(t, "swap") {
			if iban[at] == iban[at+1] {
				return
			}
			iban[at], iban[at+1] = iban[at+1], iban[at]
		} else {
			digit := byte('0' + rapid.IntRange(0, 9).Draw(t, "digit"))
			if iban[at] == digit {
				return
			}
			if iban[at] > '9' {
				return // a letter counts for two digits, so another length of number
			}
			iban[at] = digit
		}
		if got, err := ParseIBAN(string(iban)); err == nil {
			t.Fatalf("took %s", got)
		}
	})
}
