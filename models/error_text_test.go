package models_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestErrorTextQuotesNoValues(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		storetest.Merchant(t, s)
		for _, statement := range []string{
			`UPDATE merchants SET delete_unpaid_after_s = CAST('ada@example.com' AS bigint) + 1`,
			`INSERT INTO merchants SELECT * FROM merchants`,
			`UPDATE merchants SET slug = NULL`,
		} {
			_, err := s.SQL().ExecContext(t.Context(), statement)
			if err == nil {
				continue // SQLite reads text as a number
			}
			text := models.ErrorText(err)
			if text == "" || strings.Contains(text, "ada@") || strings.Contains(text, "shop@") {
				t.Errorf("%s: %q", statement, text)
			}
		}
	})
	for _, quoted := range []string{
		`failed to encode args[0]: unable to encode "ada@example.com" into binary format for int4 (OID 23)`,
		`sql: Scan error on column index 0, name "email": converting driver.Value type string ("ada@example.com") to a int: invalid syntax`,
	} {
		if text := models.ErrorText(fmt.Errorf("read: %w", errors.New(quoted))); text == "" || strings.Contains(text, "ada@") {
			t.Errorf("%s: %q", quoted, text)
		}
	}
	if got := models.ErrorText(nil); got != "" {
		t.Errorf("no error has the text %q", got)
	}
}

// detailed is an error with something for the operator's log only.
type detailed struct{ text, detail string }

func (e detailed) Error() string  { return e.text }
func (e detailed) Detail() string { return e.detail }

func TestLogTextTellsTheDetail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("plain"), "plain"},
		{detailed{"no answer", ""}, "no answer"},
		{detailed{"no answer", "dial tcp 10.0.3.7:587"}, "no answer (dial tcp 10.0.3.7:587)"},
		{fmt.Errorf("send: %w", detailed{"no answer", "dial tcp 10.0.3.7:587"}), "send: no answer (dial tcp 10.0.3.7:587)"},
	} {
		if got := models.LogText(c.err); got != c.want {
			t.Errorf("%v is logged as %q, want %q", c.err, got, c.want)
		}
		if text := models.ErrorText(c.err); strings.Contains(text, "10.0.3.7") {
			t.Errorf("%v is kept as %q", c.err, text)
		}
	}
}
