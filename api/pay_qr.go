package api

import (
	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// transferDetails are the instructions of a payment as the code that fills in a transfer needs them.
func transferDetails(i *models.Instructions) payment.Instructions {
	return payment.Instructions{
		AccountHolder: i.AccountHolder, IBAN: i.IBAN, BIC: i.BIC, BankName: i.BankName, Reference: i.Reference, Amount: i.Amount, Currency: i.Currency, Text: i.Text,
	}
}

// payQR draws the code by which a banking app fills in the transfer that an order waits for.
func (s *Server) payQR(c *fiber.Ctx) error {
	o, err := s.orderOf(c)
	if err != nil {
		return err
	}
	for i := range o.Payments {
		p := &o.Payments[i]
		if o.Status != models.OrderNotPaid || p.Status != models.PaymentPending || p.Instructions == nil {
			continue
		}
		picture, err := payment.EPCCode(transferDetails(p.Instructions))
		if err != nil {
			break
		}
		c.Set(fiber.HeaderContentType, "image/png")
		c.Set(fiber.HeaderCacheControl, "no-store")
		return c.Send(picture)
	}
	return newProblem(codeNotFound, "")
}
