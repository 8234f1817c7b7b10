package api

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/purser-dev/purser/models"
)

// change is one member of a JSON merge patch (RFC 7396): absent leaves its field as it is, null puts back the field's default. A
// member that has no default says nullable:"false", and models refuses null for it.
type change[T any] struct{ models.Optional[T] }

// Schema implements huma.SchemaProvider.
func (change[T]) Schema(r huma.Registry) *huma.Schema {
	s := *huma.SchemaFromType(r, reflect.TypeFor[T]())
	s.Nullable = true
	return &s
}

// rawObject is a JSON object whose members the operation looks at itself.
type rawObject struct{ json.RawMessage }

// Schema implements huma.SchemaProvider.
func (rawObject) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}
