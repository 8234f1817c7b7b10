package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/purser-dev/purser/models"
)

// maxFieldErrors bounds an answer that names what is wrong with each field.
const maxFieldErrors = 50

// fieldMark sets a field's name off in the text of an error, which is all that Huma keeps of it.
const fieldMark = "\x1f"

// plainNumber formats a limit. Huma keeps limits as float64, of which 15 digits are right; %v would make 1e+06 of a million.
const plainNumber = "%.15g"

// Huma's texts and its kind of error are variables of its packages. Ours complete the sentence that a field's name begins, as
// those of models do, and never repeat the value.
func init() {
	huma.ValidateStrictCasing = true // Currency is not currency
	huma.DefaultArrayNullable = false
	huma.NewError = humaProblem

	validation.MsgUnexpectedProperty = "is not known here"
	validation.MsgExpectedRequiredProperty = fieldMark + "%s" + fieldMark + "is required"
	validation.MsgExpectedBoolean = "must be true or false"
	validation.MsgExpectedNumber = "must be a number"
	validation.MsgExpectedInteger = "must be a whole number"
	validation.MsgExpectedString = "must be a string"
	validation.MsgExpectedArray = "must be an array"
	validation.MsgExpectedObject = "must be an object"
	validation.MsgExpectedOneOf = `must be one of "%s"`
	validation.MsgExpectedMinimumNumber = "must be at least " + plainNumber
	validation.MsgExpectedMaximumNumber = "must be at most " + plainNumber
	validation.MsgExpectedExclusiveMinimumNumber = "must be above " + plainNumber
	validation.MsgExpectedExclusiveMaximumNumber = "must be below " + plainNumber
	validation.MsgExpectedNumberBeMultipleOf = "must be a multiple of " + plainNumber
	validation.MsgExpectedMinLength = "must have at least %d characters"
	validation.MsgExpectedMaxLength = "must have at most %d characters"
	validation.MsgExpectedMinItems = "must have at least %d entries"
	validation.MsgExpectedMaxItems = "must have at most %d entries"
	validation.MsgExpectedMinProperties = "must have at least %d entries"
	validation.MsgExpectedMaxProperties = "must have at most %d entries"
	validation.MsgExpectedBePattern = "must be %s"
	validation.MsgExpectedMatchPattern = "must match %s"
	validation.MsgExpectedRFC3339DateTime = "must be a time such as 2026-01-31T12:00:00Z"
	validation.MsgExpectedRFC5322Email = "must be an email address%.0s"
	validation.MsgExpectedRFC3986URI = "must be an address%.0s"
}

// paramTexts are Huma's texts that are not variables.
var paramTexts = map[string]string{
	"unknown query parameter":             "is not a known query parameter",
	"required query parameter is missing": "is required",
	"required path parameter is missing":  "is required",
	"invalid integer":                     "must be a whole number",
	"invalid boolean":                     "must be true or false",
}

// humaProblem makes a problem of Huma's errors: of validation, of reading the body, and what an operation returned that is no
// problem yet.
func humaProblem(status int, _ string, errs ...error) huma.StatusError {
	if status == 0 {
		return &Problem{} // Huma asks for the type
	}
	if status == http.StatusInternalServerError && len(errs) > 0 && errs[0] != nil {
		return problemOf(errs[0])
	}
	if status == http.StatusBadRequest && len(errs) == 0 {
		return newProblem(codeMalformed, "A body is required.")
	}
	var fields []models.FieldError
	for _, err := range errs {
		if d, ok := err.(huma.ErrorDetailer); ok {
			fields = append(fields, fieldOf(d.ErrorDetail()))
		}
	}
	for _, k := range problemKinds {
		if k.Status == status {
			return withFields(k.Code, "", sorted(fields))
		}
	}
	return withFields(codeInvalid, "", sorted(fields))
}

// fieldOf translates Huma's body.items[0].quantity, query.limit and path.id into the names that clients know.
func fieldOf(d *huma.ErrorDetail) models.FieldError {
	f := models.FieldError{Field: d.Location, Message: d.Message}
	for _, place := range []string{"body.", "body", "query.", "path.", "header."} {
		if rest, ok := strings.CutPrefix(f.Field, place); ok {
			f.Field = rest
			break
		}
	}
	if marked, ok := strings.CutPrefix(f.Message, fieldMark); ok {
		name, message, _ := strings.Cut(marked, fieldMark)
		if f.Field != "" && name != "" {
			name = "." + name
		}
		f.Field, f.Message = f.Field+name, message
	}
	if f.Field = printable(dotShow.Replace(strings.TrimPrefix(f.Field, "."))); f.Field == "" {
		f.Field = "body"
	}
	if ours, ok := paramTexts[f.Message]; ok {
		f.Message = ours
	} else if strings.HasPrefix(f.Message, "invalid date/time") {
		f.Message = validation.MsgExpectedRFC3339DateTime
	}
	return f
}

// sorted orders fields by name and leaves out repetitions and what is too much.
func sorted(fields []models.FieldError) []models.FieldError {
	slices.SortFunc(fields, func(a, b models.FieldError) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
	fields = slices.Compact(fields)
	return fields[:min(len(fields), maxFieldErrors)]
}

// printable makes a client's own name fit to be shown to it.
func printable(name string) string {
	name = strings.ToValidUTF8(name, "�")
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '�'
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > 100 {
		return string(runes[:100]) + "…"
	}
	return name
}
