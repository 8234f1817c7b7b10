package models_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/purser-dev/purser/models"
)

var errTest = errors.New("a failure made by the test")

// ok fails the test on an error and passes a value through.
func ok[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantCode(t *testing.T, err error, code models.Code) {
	t.Helper()
	if got := models.CodeOf(err); got != code {
		t.Errorf("error code %q, want %q (%v)", got, code, err)
	}
}

// wantFields checks which fields an error names, in any order.
func wantFields(t *testing.T, err error, fields ...string) {
	t.Helper()
	var e *models.Error
	if !errors.As(err, &e) {
		t.Errorf("got %v, want an error about %q", err, fields)
		return
	}
	var got []string
	for _, f := range e.Fields {
		got = append(got, f.Field)
		if f.Message == "" {
			t.Errorf("the error about %s has no message", f.Field)
		}
	}
	slices.Sort(got)
	slices.Sort(fields)
	if !slices.Equal(got, fields) {
		t.Errorf("the error is about %q, want %q", got, fields)
	}
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wantMembers checks the members of a JSON object that want has.
func wantMembers(t *testing.T, what string, got any, want string) {
	t.Helper()
	all := decode[map[string]any](t, toJSON(t, got))
	for name, value := range decode[map[string]any](t, want) {
		if !reflect.DeepEqual(all[name], value) {
			t.Errorf("%s: %s is %s, want %s", what, name, toJSON(t, all[name]), toJSON(t, value))
		}
	}
}

// race runs fn n times at once and returns the errors.
func race(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			errs[i] = fn(i)
		})
	}
	start.Done()
	done.Wait()
	return errs
}

func succeeded(errs []error) (n int) {
	for _, err := range errs {
		if err == nil {
			n++
		}
	}
	return n
}
