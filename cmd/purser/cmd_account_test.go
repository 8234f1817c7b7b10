package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
)

// TestAccounts makes operators and staff, with a password of one's own or a generated one.
func TestAccounts(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s *site) {
		s.does(t, "migrate", "up")
		var made createdMerchant
		if err := json.Unmarshal([]byte(s.does(t, "merchant", "create", "--name", "Example", "--email", "a@b.example", "--slug", "example")), &made); err != nil {
			t.Fatal(err)
		}
		store := s.store(t)
		operator := func(email, password string) (string, error) {
			_, a, err := store.SignInOperator(t.Context(), email, password)
			if err != nil {
				return "", err
			}
			return a.Role, nil
		}
		staff := func(email, password string) (string, error) {
			_, a, err := store.SignInStaff(t.Context(), "example", email, password)
			if err != nil {
				return "", err
			}
			return a.Role, nil
		}
		staffOf := []string{"--merchant", made.Merchant.ID}
		for _, tt := range []struct {
			kind, role, stdin string
			signIn            func(email, password string) (string, error)
			elsewhere         func(email, password string) (string, error) // where the account is not known
			args              []string
		}{
			{"operator", models.RoleAdmin, "", operator, staff, nil},
			{"operator", models.RoleViewer, "a password of my own\n", operator, staff, nil},
			{"staff", models.RoleOwner, "a password of my own\r\n", staff, operator, staffOf},
			{"staff", models.RoleSupport, "", staff, operator, staffOf},
			{"staff", models.RoleViewer, "a password of my own", staff, operator, staffOf},
		} {
			email := tt.role + "@" + tt.kind + ".example"
			args := append([]string{tt.kind, "create", "--email", strings.ToUpper(email[:1]) + email[1:], "--role", tt.role}, tt.args...)
			code, stdout, stderr := s.tool(t, tt.stdin, args...)
			var account struct{ ID, Email, Role, Password string }
			if err := json.Unmarshal([]byte(stdout), &account); code != exitOK || err != nil {
				t.Fatalf("%v: exit code %d, %v\n%s%s", args, code, err, stdout, stderr)
			}
			if account.Email != email || account.Role != tt.role || !strings.HasPrefix(account.ID, "acc_") {
				t.Errorf("%v: got %+v", args, account)
			}
			password := strings.TrimSpace(tt.stdin)
			if password == "" {
				if password = account.Password; len(password) < 20 {
					t.Errorf("%v: the generated password is %q", args, password)
				}
			} else if account.Password != "" || strings.Contains(stdout+stderr, password) {
				t.Errorf("%v: the password is printed", args)
			}
			if role, err := tt.signIn(email, password); err != nil || role != tt.role {
				t.Errorf("%v: sign in as %q, %v", args, role, err)
			}
			if _, err := tt.elsewhere(email, password); models.CodeOf(err) != models.CodeUnauthorized {
				t.Errorf("%v: at the wrong door: %v", args, err)
			}
		}

		s.refuses(t, exitFailure, []string{"email: is taken"}, "operator", "create", "--email", "admin@operator.example", "--role", "viewer")
		s.refuses(t, exitFailure, []string{"role: must be one of admin, viewer"}, "operator", "create", "--email", "x@operator.example", "--role", "owner")
		s.refuses(t, exitFailure, []string{"role: must be one of owner, support, viewer"}, "staff", "create", "--merchant", made.Merchant.ID, "--email", "x@staff.example", "--role", "admin")
		s.refuses(t, exitFailure, []string{"email: must be"}, "operator", "create", "--email", "x", "--role", "admin")
		s.refuses(t, exitFailure, []string{"There is no such merchant."}, "staff", "create", "--merchant", "mer_nobody", "--email", "x@staff.example", "--role", "owner")
		s.refuses(t, exitUsage, []string{`"merchant" not set`}, "staff", "create", "--email", "x@staff.example", "--role", "owner")
		code, stdout, stderr := s.tool(t, "hush\n", "operator", "create", "--email", "x@operator.example", "--role", "admin")
		if code != exitFailure || stdout != "" || !strings.Contains(stderr, "password: must have") || strings.Contains(stderr, "hush") {
			t.Errorf("a password that is too short: exit code %d\n%s%s", code, stdout, stderr)
		}
	})
}
