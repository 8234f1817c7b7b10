package api

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

// Who may open the pages of operators. Merchants' staff are told that these are not for them; strangers are asked to sign in.
const (
	operators access = "operators"
	admins    access = "operators with the role admin"
	// dashboard: operators, of whom viewers may only look, and what changes something must not come from another site.
	dashboard access = "operators, viewers only look"
	// mailReaders: operators, or anyone with the demo; nobody while emails are sent by a server.
	mailReaders access = "operators, or anyone with the demo"
	visitors    access = "anyone, with the demo only"
)

// operatorGuards is who checks each access of operators' pages.
func (s *Server) operatorGuards() map[access]fiber.Handler {
	return map[access]fiber.Handler{
		operators: s.guard(func(c *fiber.Ctx, a *models.Account) error { return operator(a) }),
		admins: s.guard(func(c *fiber.Ctx, a *models.Account) error {
			if err := operator(a); err != nil {
				return err
			}
			return admin(a)
		}),
		dashboard: s.guard(func(c *fiber.Ctx, a *models.Account) error {
			if err := operator(a); err != nil {
				return err
			}
			if reads(c) {
				return nil
			}
			if err := admin(a); err != nil {
				return err
			}
			return s.sameOrigin(c)
		}),
		mailReaders: s.guard(func(c *fiber.Ctx, a *models.Account) error {
			switch {
			case !s.Mailbox:
				return errNoPage
			case s.Demo:
				return nil
			}
			return operator(a)
		}),
		visitors: s.guard(func(*fiber.Ctx, *models.Account) error {
			if !s.Demo {
				return errNoPage
			}
			return nil
		}),
	}
}

var (
	// errNoPage is a page that this installation does not have. It is answered like any address that does not exist.
	errNoPage    = newProblem(codeNotFound, "")
	errSignIn    = newProblem(codeUnauthorized, "Sign in as an operator first.")
	errStaff     = newProblem(codeForbidden, "This page is for operators of the installation. Your account is one of a merchant's staff.")
	errOnlyLooks = newProblem(codeForbidden, "Your role is viewer: you may look at everything and change nothing.")
)

func operator(a *models.Account) error {
	switch {
	case a == nil:
		return errSignIn
	case !a.Operator():
		return errStaff
	}
	return nil
}

func admin(a *models.Account) error {
	if a.Role != models.RoleAdmin {
		return errOnlyLooks
	}
	return nil
}

// reads reports whether a request only looks.
func reads(c *fiber.Ctx) bool { return c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead }

type accountKey struct{}

// accountOf is who is signed in, as the page's guard found it; nil for nobody.
func accountOf(c *fiber.Ctx) *models.Account {
	a, _ := c.Locals(accountKey{}).(*models.Account)
	return a
}

// guard lets a request through that allow returns nil for. Whatever error there is, here or further in, is answered as a page,
// and strangers are shown the way to the door.
func (s *Server) guard(allow func(*fiber.Ctx, *models.Account) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		a, err := s.account(c)
		if err == nil {
			c.Locals(accountKey{}, a)
			err = allow(c, a)
		}
		if err == nil {
			err = c.Next()
		}
		switch {
		case err == nil || errors.Is(err, errNoPage):
			return err
		case forPrograms(c):
			return s.refuseText(c, err)
		case errors.Is(err, errSignIn) && reads(c):
			return c.Redirect("/operator?next="+url.QueryEscape(string(c.Request().RequestURI())), fiber.StatusSeeOther)
		}
		return s.refuse(c, err)
	}
}

// forPrograms reports whether an address is fetched by a page's script or as a part of a page, where a redirect to the door or
// a page as an answer would only puzzle.
func forPrograms(c *fiber.Ctx) bool {
	return strings.HasPrefix(c.Path(), queueScreensPath+"/api/") || strings.HasPrefix(c.Path(), queueScreensPath+"/static/")
}

// refuseText answers an error as one line of text, which Asynqmon's screens show as it is.
func (s *Server) refuseText(c *fiber.Ctx, err error) error {
	p := s.finish(problemOf(err), requestOf(c))
	for name, values := range p.GetHeaders() {
		if name != fiber.HeaderWWWAuthenticate {
			c.Set(name, values[0])
		}
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextPlainCharsetUTF8)
	return c.Status(p.Status).SendString(p.Detail)
}

// landings are the addresses to which a sign-in may lead, with everything below them.
var landings = []string{"/operator", queueScreensPath, "/mailbox", "/demo/webhooks", "/docs"}

// landing returns where to go after a sign-in: the address that was asked for if it is one of ours, or the overview.
func landing(next string) string {
	u, err := url.Parse(next)
	ours := err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && !strings.Contains(next, `\`) &&
		slices.ContainsFunc(landings, func(l string) bool { return u.Path == l || strings.HasPrefix(u.Path, l+"/") })
	if !ours {
		return "/operator"
	}
	return u.RequestURI()
}
