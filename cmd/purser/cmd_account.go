package main

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/purser-dev/purser/models"
)

func (p *Program) operatorCommand() *cobra.Command {
	var email, role string
	create := &cobra.Command{
		Use: "create", Short: "Create an operator of the installation: Asynqmon, all merchants",
		Long:    "Create an operator of the installation. The password is read from standard input if it is not a terminal; otherwise one is generated and printed this once.",
		Example: "  purser operator create --email ops@example.com --role admin",
	}
	create.Flags().StringVar(&email, "email", "", "the operator's email address")
	create.Flags().StringVar(&role, "role", "", "admin, or viewer who may only look")
	_ = create.MarkFlagRequired("email")
	_ = create.MarkFlagRequired("role")
	return group(&cobra.Command{Use: "operator", Short: "Manage operators of the installation"},
		p.tool(create, orNew, func(cmd *cobra.Command, _ []string, store *models.Store, _ Settings) error {
			return withPassword(cmd, func(password string) (*models.Account, error) {
				return store.CreateOperator(cmd.Context(), email, role, password)
			})
		}))
}

func (p *Program) staffCommand() *cobra.Command {
	var merchant, email, role string
	create := &cobra.Command{
		Use: "create", Short: "Create an account for a merchant's staff",
		Long:    "Create an account for a merchant's staff. The password is read from standard input if it is not a terminal; otherwise one is generated and printed this once.",
		Example: "  purser staff create --merchant mer_… --email ann@example.com --role support",
	}
	create.Flags().StringVar(&merchant, "merchant", "", "the merchant's id")
	create.Flags().StringVar(&email, "email", "", "the person's email address")
	create.Flags().StringVar(&role, "role", "", "owner, support or viewer")
	for _, name := range []string{"merchant", "email", "role"} {
		_ = create.MarkFlagRequired(name)
	}
	return group(&cobra.Command{Use: "staff", Short: "Manage the staff of merchants"},
		p.tool(create, existing, func(cmd *cobra.Command, _ []string, store *models.Store, _ Settings) error {
			return withPassword(cmd, func(password string) (*models.Account, error) {
				return store.CreateStaff(cmd.Context(), merchant, email, role, password)
			})
		}))
}

// withPassword takes the first line of standard input as the password of a new account, or else generates one and prints it.
func withPassword(cmd *cobra.Command, create func(password string) (*models.Account, error)) error {
	password, err := readPassword(cmd.InOrStdin())
	if err != nil {
		return err
	}
	generated := password == ""
	if generated {
		password = newPassword()
	}
	account, err := create(password)
	if err != nil {
		return err
	}
	out := map[string]any{"id": account.ID, "email": account.Email, "role": account.Role}
	if generated {
		out["password"] = password
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(out)
}

// readPassword reads a line unless a person sits at a terminal, who would not know that it is waited for.
func readPassword(in io.Reader) (string, error) {
	if in == nil {
		return "", nil
	}
	if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice != 0 {
			return "", nil
		}
	}
	line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// newPassword makes a password of 120 random bits.
func newPassword() string {
	var b [15]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
