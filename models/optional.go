package models

import "encoding/json"

// Optional is one member of a JSON merge patch (RFC 7396): absent, null, or a value.
type Optional[T any] struct {
	// Set is false while the member is absent.
	Set bool
	// Null means that the member goes back to its default.
	Null  bool
	Value T
}

// Some is a member with a value.
func Some[T any](v T) Optional[T] { return Optional[T]{Set: true, Value: v} }

// Null is a member that is null.
func Null[T any]() Optional[T] { return Optional[T]{Set: true, Null: true} }

// UnmarshalJSON is called only for members that are there.
func (o *Optional[T]) UnmarshalJSON(b []byte) error {
	*o = Optional[T]{Set: true, Null: string(b) == "null"}
	if o.Null {
		return nil
	}
	return json.Unmarshal(b, &o.Value)
}

// apply writes the patch to a field: its value, or for null the default.
func (o Optional[T]) apply(field *T, standard T) {
	switch {
	case o.Null:
		*field = standard
	case o.Set:
		*field = o.Value
	}
}

// require is apply for a member without a default.
func (o Optional[T]) require(field *T, name string, bad *invalids) {
	if o.Null {
		bad.add(name, "must not be null")
		return
	}
	o.apply(field, *field)
}
