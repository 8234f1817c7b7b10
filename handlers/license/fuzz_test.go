package license

import (
	"encoding/json"
	"reflect"
	"testing"
)

// Settings that are taken are taken again as they are shown, and mean the same.
func FuzzParseSettings(f *testing.F) {
	for _, seed := range [][2]string{
		{MethodPool, `{"low_threshold":10}`},
		{MethodPool, `{"low_threshold":null,"email_text":"Dear {FNAME}, {KEY}"}`},
		{MethodTemplate, `{"pattern":"` + DefaultPattern + `"}`},
		{MethodSigned, `{"licensed_to":true}`},
		{MethodEmulator, `{}`},
		{MethodPool, `{"low_threshold":1e3,"low_threshold":1}`},
		{MethodTemplate, `{"Pattern":"X"}`},
		{"", `null`},
		{MethodSigned, ``},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, method string, raw []byte) {
		s, err := ParseSettings(method, raw)
		if err != nil {
			return
		}
		shown, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("%s %q cannot be shown: %v", method, raw, err)
		}
		again, err := ParseSettings(method, shown)
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("%s %q is shown as %s, which is %+v, %v", method, raw, shown, again, err)
		}
	})
}

// A public key that is read is written the same way from then on.
func FuzzParsePublicKey(f *testing.F) {
	public := publicOf(testSigner())
	text, err := PublicKeyPEM(public)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{text, PublicKeyHex(public), "", "\n" + text + "\n", text + text, "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParsePublicKey(text)
		if err != nil {
			return
		}
		shown, err := PublicKeyPEM(key)
		if err != nil {
			t.Fatalf("%q gives a key of %d bytes: %v", text, len(key), err)
		}
		for _, form := range []string{shown, PublicKeyHex(key)} {
			if again, err := ParsePublicKey(form); err != nil || !again.Equal(key) {
				t.Fatalf("%q is read as another key: %v", form, err)
			}
		}
	})
}
