package models_test

import (
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
	if got := models.ErrorText(nil); got != "" {
		t.Errorf("no error has the text %q", got)
	}
}
