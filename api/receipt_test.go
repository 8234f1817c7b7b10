package api

import "testing"

// Names in letters that the receipt's fonts lack can be read, and nobody's is empty.
func TestNamesOnReceipts(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Ada Byron": "Ada Byron", "Žofie Łukasiewicz-Ångström": "Žofie Łukasiewicz-Ångström", "Анна Иванова": "Анна Иванова", "Ελένη": "Ελένη",
		"e\u0301lodie": "élodie", "王小明": "Wang Xiao Ming", "김철수": "gimceolsu", "Ａｄａ": "Ada", "שלום": "shlvm", "1 234,50 €": "1 234,50 €",
		"12\u202f345\u00a0EUR": "12\u00a0345\u00a0EUR", "a\x00\nb": "ab", "😀": "?", "": "",
	} {
		if got := printed(name); got != want {
			t.Errorf("%q is printed %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"สมชาย", "محمد", "राम", "山田太郎", "Нгуен 阮"} {
		if got := printed(name); got == "" || got == "?" {
			t.Errorf("%q is printed %q", name, got)
		}
	}
}
