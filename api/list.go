package api

import "github.com/purser-dev/purser/models"

// PageInput asks for a part of a list. Embed it in a list operation's input.
type PageInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"How many entries to return."`
	Cursor string `query:"cursor" maxLength:"200" doc:"The next_cursor of the page before."`
}

func (p PageInput) page() models.Page { return models.Page{Limit: p.Limit, Cursor: p.Cursor} }

// listOf is the body of every list, newest first.
type listOf[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor" doc:"The cursor of the next page; null on the last one."`
}

type listOutput[T any] struct{ Body listOf[T] }

// listed answers a list operation.
func listed[T any](data []T, next string, err error) (*listOutput[T], error) {
	if err != nil {
		return nil, problem(err)
	}
	out := &listOutput[T]{Body: listOf[T]{Data: data}}
	if out.Body.Data == nil {
		out.Body.Data = []T{}
	}
	if next != "" {
		out.Body.NextCursor = &next
	}
	return out, nil
}

// noFields is the body of an operation that needs none: empty, or an object without fields.
type noFields struct{}
