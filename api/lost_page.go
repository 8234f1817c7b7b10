package api

import (
	"net/mail"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

// lostView is the page for customers who have lost their licence, or the way to their order.
type lostView struct {
	Sent  bool
	Email string
	Wrong bool
}

func (s *Server) lostShop(c *fiber.Ctx) (*models.Merchant, shop, error) {
	m, err := s.store.MerchantBySlug(c.UserContext(), c.Params("slug"))
	if err != nil {
		return nil, shop{}, err
	}
	sh := s.shopOf(c, m, "")
	sh.Title, sh.Width = sh.Words.T("order.lost_title"), "narrow"
	return m, sh, nil
}

// lostPage asks for the email address that orders were placed with.
func (s *Server) lostPage(c *fiber.Ctx) error {
	_, sh, err := s.lostShop(c)
	if err != nil {
		return err
	}
	return s.shopPage(c, fiber.StatusOK, "lost", sh, lostView{Sent: c.Query("sent") != ""})
}

// submitLost has the links mailed to the address, if there are any. The answer is the same whether there are, and when they were asked
// for too often: who may read it is whoever reads the address's mail.
func (s *Server) submitLost(c *fiber.Ctx) error {
	if err := s.allow(c, linksAsked); err != nil {
		return err
	}
	form, err := s.checkCSRF(c)
	if err != nil {
		return err
	}
	m, sh, err := s.lostShop(c)
	if err != nil {
		return err
	}
	email := shortened(form.Get("email"), 255)
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email {
		return s.shopPage(c, fiber.StatusUnprocessableEntity, "lost", sh, lostView{Email: email, Wrong: true})
	}
	if s.allowKey(linksMailed, m.ID+" "+strings.ToLower(email)) == nil {
		err := s.store.RequestOrderLinks(c.UserContext(), hostedScope(m), email)
		if models.CodeOf(err) == models.CodeInvalid {
			return s.shopPage(c, fiber.StatusUnprocessableEntity, "lost", sh, lostView{Email: email, Wrong: true})
		}
		if err != nil {
			return err
		}
	}
	return c.Redirect("/lost/"+m.Slug+"?sent=1", fiber.StatusSeeOther)
}
