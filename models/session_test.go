package models_test

import (
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const password = "correct horse battery"

func TestStaffSignIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		made := ok(s.CreateStaff(t.Context(), shop.ID, " Grace@Example.com ", models.RoleSupport, password))(t)
		if made.Email != "grace@example.com" || made.Operator() || made.Actor() != "staff:"+made.ID {
			t.Errorf("made %+v", made)
		}
		if text := toJSON(t, made); strings.Contains(text, "argon2") || strings.Contains(text, password) {
			t.Error("the account's JSON shows the password's hash")
		}
		for _, merchant := range []string{shop.ID, shop.Slug} {
			token, a, err := s.SignInStaff(t.Context(), merchant, "GRACE@example.com", password)
			if err != nil || a.ID != made.ID {
				t.Fatalf("sign in at %s: %v", merchant, err)
			}
			who := ok(s.SessionAccount(t.Context(), token))(t)
			if who.ID != made.ID || who.Role != models.RoleSupport || who.MerchantID == nil || *who.MerchantID != shop.ID {
				t.Errorf("the session is %+v's", who)
			}
			if n := storetest.Count(t, s, `SELECT COUNT(*) FROM sessions WHERE digest = $1`, token); n != 0 {
				t.Error("the token is stored in the clear")
			}
		}
		for _, c := range []struct{ merchant, email, password string }{
			{shop.ID, "grace@example.com", password + "!"},
			{shop.ID, "grace@example.com", ""},
			{shop.ID, "grace@example.com", strings.Repeat("x", 1<<20)},
			{shop.ID, "ada@example.com", password},
			{shop.ID, "not an address \x00", password},
			{other.ID, "grace@example.com", password},
			{"nobody", "grace@example.com", password},
			{"", "grace@example.com", password},
		} {
			token, a, err := s.SignInStaff(t.Context(), c.merchant, c.email, c.password)
			wantCode(t, err, models.CodeUnauthorized)
			if token != "" || a != nil {
				t.Errorf("%+v got a session", c)
			}
			if err != nil && err.Error() != "The email or the password is wrong." {
				t.Errorf("the refusal tells more than it should: %v", err)
			}
		}
		_, _, err := s.SignInOperator(t.Context(), "grace@example.com", password)
		wantCode(t, err, models.CodeUnauthorized)
	})
}

func TestPasswordsAreHashedAtFullCost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		o := storetest.Options(s)
		o.PasswordMemory = 0
		full := ok(models.Open(t.Context(), o))(t)
		t.Cleanup(func() { _ = full.Close() })
		ok(full.CreateOperator(t.Context(), "root@example.com", models.RoleAdmin, password))(t)
		if hash := texts(t, s, "SELECT password_hash FROM accounts")[0]; !strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=1,p=1$") {
			t.Errorf("the hash is %s", hash)
		}
		if _, _, err := s.SignInOperator(t.Context(), "root@example.com", password); err != nil {
			t.Errorf("signing in at a store with another cost: %v", err)
		}
	})
}

func TestOperatorSignIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		made := ok(s.CreateOperator(t.Context(), "root@example.com", models.RoleAdmin, password))(t)
		token, a, err := s.SignInOperator(t.Context(), "Root@example.com", password)
		if err != nil || a.ID != made.ID || !a.Operator() || a.Actor() != "operator:"+a.ID {
			t.Fatalf("signed in as %+v: %v", a, err)
		}
		_, _, err = s.SignInStaff(t.Context(), shop.ID, "root@example.com", password)
		wantCode(t, err, models.CodeUnauthorized)

		second, _, err := s.SignInOperator(t.Context(), "root@example.com", password)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.SignOut(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		_, err = s.SessionAccount(t.Context(), token)
		wantCode(t, err, models.CodeUnauthorized)
		ok(s.SessionAccount(t.Context(), second))(t) // the other session goes on

		storetest.Exec(t, s, `UPDATE accounts SET disabled_at = created_at WHERE id = $1`, made.ID)
		_, err = s.SessionAccount(t.Context(), second)
		wantCode(t, err, models.CodeUnauthorized)
		_, _, err = s.SignInOperator(t.Context(), "root@example.com", password)
		wantCode(t, err, models.CodeUnauthorized)
	})
}

func TestSessionsEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		ok(s.CreateOperator(t.Context(), "root@example.com", models.RoleViewer, password))(t)
		token, _, err := s.SignInOperator(t.Context(), "root@example.com", password)
		if err != nil {
			t.Fatal(err)
		}
		ok(s.SessionAccount(t.Context(), token))(t)
		storetest.Exec(t, s, `UPDATE sessions SET expires_at = $1`, time.Now().UTC().Add(-time.Second))
		for _, token := range []string{token, "", "pss_" + strings.Repeat("A", 43), "\x00", strings.Repeat("A", 1<<16)} {
			_, err := s.SessionAccount(t.Context(), token)
			wantCode(t, err, models.CodeUnauthorized)
		}
	})
}

func TestCreateAccountRefuses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		ok(s.CreateStaff(t.Context(), shop.ID, "a@example.com", models.RoleOwner, password))(t)
		ok(s.CreateStaff(t.Context(), other.ID, "a@example.com", models.RoleOwner, password))(t) // emails are unique within a merchant
		ok(s.CreateOperator(t.Context(), "a@example.com", models.RoleAdmin, password))(t)

		_, err := s.CreateStaff(t.Context(), shop.ID, "A@example.com", models.RoleViewer, password)
		wantCode(t, err, models.CodeConflict)
		_, err = s.CreateOperator(t.Context(), "A@example.com", models.RoleViewer, password)
		wantCode(t, err, models.CodeConflict)
		_, err = s.CreateStaff(t.Context(), shop.ID, "b", models.RoleAdmin, "short")
		wantFields(t, err, "email", "role", "password")
		_, err = s.CreateOperator(t.Context(), "b@example.com", models.RoleOwner, strings.Repeat("x", 201))
		wantFields(t, err, "role", "password")
		_, err = s.CreateStaff(t.Context(), "mer_00000000000000000000000000", "b@example.com", models.RoleOwner, password)
		wantCode(t, err, models.CodeNotFound)
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM accounts`); n != 3 {
			t.Errorf("%d accounts, want 3", n)
		}
	})
}
