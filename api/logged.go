package api

import (
	"fmt"
	"runtime"

	"github.com/purser-dev/purser/models"
)

// logged is the text of an error for the log, without what a database quotes in it.
func logged(err error) string { return models.LogText(err) }

// panicText is what the log says of a panic beside its stack. The runtime's own texts have numbers and types; what anybody else says may be
// a customer's, so of that it has the type only.
func panicText(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", v)
}
