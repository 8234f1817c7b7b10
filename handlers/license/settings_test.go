package license

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseSettings(t *testing.T) {
	t.Parallel()
	zero, ten := 0, 10
	standard := mustPattern(t, DefaultPattern)
	for _, tc := range []struct {
		method, raw string
		want        Settings
		stored      string
	}{
		{"pool", ``, Settings{Method: "pool"}, `{"email_text":null,"low_threshold":null}`},
		{"pool", ` null `, Settings{Method: "pool"}, `{"email_text":null,"low_threshold":null}`},
		{"pool", `{"low_threshold":null}`, Settings{Method: "pool"}, `{"email_text":null,"low_threshold":null}`},
		{"pool", `{"low_threshold":0}`, Settings{Method: "pool", LowThreshold: &zero}, `{"email_text":null,"low_threshold":0}`},
		{"pool", `{"low_threshold":10,"email_text":"Key: {KEY}"}`, Settings{Method: "pool", LowThreshold: &ten, EmailText: "Key: {KEY}"},
			`{"email_text":"Key: {KEY}","low_threshold":10}`},
		{"template", `{}`, Settings{Method: "template", Pattern: standard}, `{"email_text":null,"pattern":"` + DefaultPattern + `"}`},
		{"template", `{"pattern":null,"email_text":" "}`, Settings{Method: "template", Pattern: standard}, `{"email_text":null,"pattern":"` + DefaultPattern + `"}`},
		{"template", `{"pattern":"OFFI\\CE-XXXXXXXXXXXXXXXXXC"}`, Settings{Method: "template", Pattern: mustPattern(t, `OFFI\CE-XXXXXXXXXXXXXXXXXC`)},
			`{"email_text":null,"pattern":"OFFI\\CE-XXXXXXXXXXXXXXXXXC"}`},
		{"signed", `{}`, Settings{Method: "signed"}, `{"email_text":null,"licensed_to":false}`},
		{"signed", `{"licensed_to":true}`, Settings{Method: "signed", LicensedTo: true}, `{"email_text":null,"licensed_to":true}`},
		{"emulator", `{}`, Settings{Method: "emulator"}, `{"email_text":null}`},
	} {
		t.Run(tc.method+tc.raw, func(t *testing.T) {
			t.Parallel()
			got, err := ParseSettings(tc.method, json.RawMessage(tc.raw))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			stored, err := json.Marshal(got)
			if err != nil || string(stored) != tc.stored {
				t.Errorf("stored as %s (%v), want %s", stored, err, tc.stored)
			}
			if again, err := ParseSettings(tc.method, stored); err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("read back as %+v, %v", again, err)
			}
		})
	}
}

func TestParseSettingsRefuses(t *testing.T) {
	t.Parallel()
	const threshold = "license.low_threshold must be null or an integer from 0 to 1000000"
	for _, tc := range []struct{ method, raw, want string }{
		{"", `{}`, "license_method must be one of pool, template, signed, emulator"},
		{"Pool", `{}`, "license_method must be one of pool, template, signed, emulator"},
		{"pool", `[]`, "license must be a JSON object"},
		{"pool", `"x"`, "license must be a JSON object"},
		{"pool", `{`, "license must be a JSON object"},
		{"pool", `{} {}`, "license must be a JSON object"},
		{"pool", `{"low_threshold":-1}`, threshold},
		{"pool", `{"low_threshold":1.5}`, threshold},
		{"pool", `{"low_threshold":"5"}`, threshold},
		{"pool", `{"low_threshold":1000001}`, threshold},
		{"pool", `{"low_threshold":99999999999999999999}`, threshold},
		{"pool", `{"pattern":null}`, "license.pattern is not a setting of the method pool, which has low_threshold, email_text"},
		{"pool", `{"Low_Threshold":1}`, "license.Low_Threshold is not a setting of the method pool, which has low_threshold, email_text"},
		{"template", `{"pattern":7}`, "license.pattern must be a string"},
		{"template", `{"pattern":""}`, "license.pattern must end in the check character C"},
		{"template", `{"pattern":"XXXXC"}`, "license.pattern has 19 random bits (X 4 times), at least 80 are needed (X 17 times)"},
		{"signed", `{"licensed_to":"yes"}`, "license.licensed_to must be true or false"},
		{"emulator", `{"pattern":"XXXXC"}`, "license.pattern is not a setting of the method emulator, which has email_text"},
		{"emulator", `{"email_text":"Hello"}`, "license.email_text must contain the tag {KEY}"},
		{"emulator", `{"email_text":"{key}"}`, "license.email_text must contain the tag {KEY}"},
		{"emulator", `{"email_text":["{KEY}"]}`, "license.email_text must be a string"},
		{"emulator", `{"email_text":"{KEY}\u0000"}`, "license.email_text must be text without NUL characters"},
		{"emulator", fmt.Sprintf(`{"email_text":"{KEY}%s"}`, strings.Repeat("x", MaxEmailText)), "license.email_text must have at most 20000 bytes"},
		{"pool", `{"low_threshold":-1,"zzz":1,"email_text":"Hello"}`, "license.email_text must contain the tag {KEY}; " + threshold +
			"; license.zzz is not a setting of the method pool, which has low_threshold, email_text"},
	} {
		t.Run(tc.method+tc.raw[:min(len(tc.raw), 40)], func(t *testing.T) {
			t.Parallel()
			got, err := ParseSettings(tc.method, json.RawMessage(tc.raw))
			if err == nil || err.Error() != tc.want {
				t.Fatalf("error is %v, want %s", err, tc.want)
			}
			if !reflect.DeepEqual(got, Settings{}) {
				t.Error("settings beside an error")
			}
			var all FieldErrors
			var first FieldError
			if !errors.As(err, &all) || !errors.As(err, &first) || all[0] != first {
				t.Errorf("%T is not made of field errors", err)
			}
			if field, _, _ := strings.Cut(tc.want, " "); first.Field != field {
				t.Errorf("field is %s, want %s", first.Field, field)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	if got := Methods(); !slices.Equal(got, []string{MethodPool, MethodTemplate, MethodSigned, MethodEmulator}) {
		t.Errorf("methods are %q", got)
	}
}
