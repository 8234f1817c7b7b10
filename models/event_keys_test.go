package models

import (
	"encoding/json"
	"testing"
)

func TestPutKeysChangesNothingElse(t *testing.T) {
	t.Parallel()
	keys := map[string]string{"lic_1": `A"<&>:1`, "lic_2": "B"}
	for _, c := range []struct{ name, text, want string }{
		{"a licence", `{"id":"lic_1","key":"****1"}`, `{"id":"lic_1","key":"A\"\u003c\u0026\u003e:1"}`},
		{"the key before the id", `{"key":"****","id":"lic_2"}`, `{"key":"B","id":"lic_2"}`},
		{"white space", "{ \"id\" : \"lic_2\" ,\n\t\"key\" :  \"****\" }", "{ \"id\" : \"lic_2\" ,\n\t\"key\" :  \"B\" }"},
		{"colons and quotes in the masked key", `{"id":"lic_2","key":"**\":\"**","n":1}`, `{"id":"lic_2","key":"B","n":1}`},
		{"several, in their order", `{"z":[{"id":"lic_2","key":"x"},{"id":"lic_1","key":"y","a":2.50}],"a":1e3}`,
			`{"z":[{"id":"lic_2","key":"B"},{"id":"lic_1","key":"A\"\u003c\u0026\u003e:1","a":2.50}],"a":1e3}`},
		{"a licence of another order", `{"id":"lic_3","key":"****"}`, `{"id":"lic_3","key":"****"}`},
		{"an object without a key", `{"id":"lic_1","status":"active"}`, `{"id":"lic_1","status":"active"}`},
		{"an id further in", `{"key":"x","inner":{"id":"lic_1"}}`, `{"key":"x","inner":{"id":"lic_1"}}`},
		{"an id further out", `{"id":"lic_1","inner":{"key":"x"}}`, `{"id":"lic_1","inner":{"key":"x"}}`},
		{"a key that is no text", `{"id":"lic_1","key":null,"list":["id","lic_1","key","x"]}`, `{"id":"lic_1","key":null,"list":["id","lic_1","key","x"]}`},
		{"values that read like names", `{"a":"id","b":"key","":"x","id":"lic_2","key":"y"}`, `{"a":"id","b":"key","":"x","id":"lic_2","key":"B"}`},
		{"numbers beyond a float", `{"n":9007199254740993,"id":"lic_2","key":"y"}`, `{"n":9007199254740993,"id":"lic_2","key":"B"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := putKeys(c.text, keys)
			if err != nil || got != c.want {
				t.Errorf("got  %s (%v)\nwant %s", got, err, c.want)
			}
			if !json.Valid([]byte(got)) {
				t.Error("it is not JSON any more")
			}
		})
	}
	if _, err := putKeys(`{"id":"lic_1","key":`, keys); err == nil {
		t.Error("a text that was cut off was taken")
	}
}
