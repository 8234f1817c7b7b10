package payment

import (
	"fmt"
	"io"
	"log/slog"
)

// printMask stands in for a gateway or its settings, which hold secrets, wherever
// one is printed. It serves Format, because verbs such as %d and %#v would look
// past String.
func printMask(f fmt.State, gateway string) { _, _ = io.WriteString(f, mask(gateway)) }

func maskValue(gateway string) slog.Value { return slog.StringValue(mask(gateway)) }

func mask(gateway string) string { return "[" + gateway + " gateway]" }
