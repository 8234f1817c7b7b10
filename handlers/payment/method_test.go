package payment

import "testing"

func TestMethods(t *testing.T) {
	t.Parallel()
	for name, class := range map[string]Class{"card": Online, "bank_transfer": Offline} {
		if m, ok := MethodByName(name); !ok || m.Name != name || m.Class != class {
			t.Errorf("%s is %+v, %v", name, m, ok)
		}
	}
	for _, name := range []string{"", "Card", "stripe"} {
		if m, ok := MethodByName(name); ok || m != (Method{}) {
			t.Errorf("%q is %+v", name, m)
		}
	}
	Methods()[0].Name = "changed by a caller"
	if got := Methods(); len(got) != 2 || got[0].Name != MethodCard {
		t.Errorf("methods are %+v", got)
	}
}
