package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/purser-dev/purser/handlers/license"
)

// licenseCommand checks signed licences as a merchant's program would: with the public key and nothing else.
func (p *Program) licenseCommand() *cobra.Command {
	var publicKey string
	verify := &cobra.Command{
		Use: "verify LICENSE", Short: "Check a signed licence with the product's public key and print what it says",
		Example: "  purser license verify --public-key 3d4017c3… key/eyJ2IjoxLC…",
		Args:    exactly(1, "a licence key"),
	}
	verify.Flags().StringVar(&publicKey, "public-key", "", "the public key in hex, base64 or PEM, or @FILE")
	_ = verify.MarkFlagRequired("public-key")
	verify.RunE = func(cmd *cobra.Command, args []string) error {
		text := publicKey
		if file, ok := strings.CutPrefix(publicKey, "@"); ok {
			content, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("--public-key: %w", err)
			}
			text = string(content)
		}
		public, err := license.ParsePublicKey(strings.TrimSpace(text))
		if err != nil {
			return usageError{cmd.CommandPath(), fmt.Errorf("--public-key: %w", err)}
		}
		raw, err := license.VerifyRaw(public, strings.TrimSpace(args[0]))
		if err != nil {
			return err
		}
		var payload json.RawMessage = raw
		out := json.NewEncoder(cmd.OutOrStdout())
		out.SetIndent("", "  ")
		return out.Encode(map[string]any{"valid": true, "payload": payload})
	}
	return group(&cobra.Command{Use: "license", Short: "Work with signed licences"}, verify)
}
