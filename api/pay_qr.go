package api

import (
	"bytes"
	"image"
	"image/color"
	"image/png"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// The size of a module of the code in pixels, and its margin in modules (ISO/IEC 18004: four).
const qrModule, qrMargin = 6, 4

// epcOf is the text of the code that fills in a transfer. The error tells that there is none, such as for other currencies than EUR.
func epcOf(i *models.Instructions) (string, error) {
	return payment.EPCPayload(payment.Instructions{
		AccountHolder: i.AccountHolder, IBAN: i.IBAN, BIC: i.BIC, BankName: i.BankName, Reference: i.Reference, Amount: i.Amount, Currency: i.Currency, Text: i.Text,
	})
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
		text, err := epcOf(p.Instructions)
		if err != nil {
			break
		}
		picture, err := drawQR(text)
		if err != nil {
			return err
		}
		c.Set(fiber.HeaderContentType, "image/png")
		c.Set(fiber.HeaderCacheControl, "no-store")
		return c.Send(picture)
	}
	return newProblem(codeNotFound, "")
}

// drawQR draws a QR code with error correction level M, as EPC069-12 asks for.
func drawQR(text string) ([]byte, error) {
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		return nil, err
	}
	side := code.Bounds().Dx() * qrModule
	if code, err = barcode.Scale(code, side, side); err != nil {
		return nil, err
	}
	margin := qrMargin * qrModule
	picture := image.NewPaletted(image.Rect(0, 0, side+2*margin, side+2*margin), color.Palette{color.White, color.Black})
	for y := range side {
		for x := range side {
			if code.At(x, y) == color.Black {
				picture.SetColorIndex(x+margin, y+margin, 1)
			}
		}
	}
	var out bytes.Buffer
	err = png.Encode(&out, picture)
	return out.Bytes(), err
}
