package jobs

import "testing"

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
