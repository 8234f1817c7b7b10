package models

import (
	"encoding/base64"
	"regexp"

	"gorm.io/gorm"
)

// The bounds of a page of a list.
const (
	defaultPage = 20
	maxPage     = 100
)

// Page asks for a part of a list, which is newest first.
type Page struct {
	// Limit is 1 to 100; 0 means 20.
	Limit int
	// Cursor is the one that came with the page before; empty for the first page.
	Cursor string
}

var cursorID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// paginate runs q, which selects from one table whose rows are ordered by their id, for one page. It returns the cursor of the
// next page, or "" at the end. A cursor names the last id that was seen, so a page neither repeats nor misses a row when others
// are added meanwhile.
func paginate[T any](q *gorm.DB, page Page, id func(*T) string) ([]T, string, error) {
	limit := page.Limit
	if limit == 0 {
		limit = defaultPage
	}
	if limit < 1 || limit > maxPage {
		return nil, "", Invalid("limit", "must be from 1 to %d", maxPage)
	}
	if page.Cursor != "" {
		last, err := base64.RawURLEncoding.DecodeString(page.Cursor)
		if err != nil || !cursorID.Match(last) {
			return nil, "", Invalid("cursor", "is not a cursor of this list")
		}
		q = q.Where("id < ?", string(last))
	}
	rows := make([]T, 0, limit+1)
	if err := q.Order("id DESC").Limit(limit + 1).Find(&rows).Error; err != nil {
		return nil, "", err
	}
	if len(rows) <= limit {
		return rows, "", nil
	}
	rows = rows[:limit]
	return rows, base64.RawURLEncoding.EncodeToString([]byte(id(&rows[limit-1]))), nil
}

var idBody = regexp.MustCompile(`^[0-9a-z]{26}$`)

// urlToken is the shape of what newToken makes.
var urlToken = regexp.MustCompile(`^[A-Za-z0-9_-]{32}$`)

// isID reports whether s has the shape of an id of the given kind. Whatever else a request names is not asked for: PostgreSQL
// would answer text that it cannot store with an error instead of no row.
func isID(s, prefix string) bool {
	return hasPrefix(s, prefix) && idBody.MatchString(s[len(prefix)+1:])
}
