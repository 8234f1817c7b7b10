package jobs

import (
	"encoding/json"
	"testing"
)

// A task's id is read back as it was written.
func FuzzParseTaskID(f *testing.F) {
	f.Add("01a21ad8-4e2b-7c3b-a59e-6781afda4ba0.0")
	f.Add("x.-1")
	f.Add(".1")
	f.Add("a.01")
	f.Fuzz(func(t *testing.T, id string) {
		job, epoch, err := ParseTaskID(id)
		if err != nil {
			return
		}
		if again, n, err := ParseTaskID(TaskID(job, epoch)); err != nil || again != job || n != epoch || epoch < 0 || job == "" {
			t.Fatalf("%q is read as %q, %d and then %q, %d, %v", id, job, epoch, again, n, err)
		}
	})
}

// Whatever lies in Redis is read without harm, and what was written by us is read back.
func FuzzErrandOf(f *testing.F) {
	f.Add([]byte(`{"server":"whe_1","merchant":"mer_1"}`))
	f.Add([]byte(`{"server":1}`))
	f.Add([]byte(`[`))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		e := ErrandOf(payload)
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if again := ErrandOf(raw); again != e {
			t.Fatalf("%q is read as %+v and then as %+v", payload, e, again)
		}
	})
}
