package api

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"github.com/go-pdf/fpdf"
	"github.com/gofiber/fiber/v2"
	"github.com/gosimple/unidecode"
	"golang.org/x/text/unicode/norm"

	"github.com/purser-dev/purser/models"
)

// The fonts of receipts, which have the letters of every language that pages are in.
var receiptFonts = map[string][]byte{"": mustAsset("DejaVuSans.ttf"), "B": mustAsset("DejaVuSans-Bold.ttf")}

func mustAsset(name string) []byte {
	b, err := assetFiles.ReadFile("assets/vendor/dejavu-fonts-ttf-2.37.3/" + name)
	if err != nil {
		panic(err) // the files are part of the program
	}
	return b
}

// receiptPDF is the receipt of a paid order, for printing.
func (s *Server) receiptPDF(c *fiber.Ctx) error {
	o, err := s.orderOf(c)
	if err != nil {
		return err
	}
	if o.Status != models.OrderPaid {
		return newProblem(codeNotFound, "")
	}
	if err := s.allowKey(receiptsDrawn, o.ID); err != nil {
		return err
	}
	file, err := printReceipt(o)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/pdf")
	c.Set(fiber.HeaderContentDisposition, `inline; filename="`+o.Number+`.pdf"`)
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Send(file)
}

// receipt is a page of A4 while it is drawn. Lengths are millimetres.
type receipt struct {
	*fpdf.Fpdf
	w words
}

const (
	receiptMargin = 20.0
	receiptWidth  = 210 - 2*receiptMargin
	amountWidth   = 45.0
)

// printReceipt draws the receipt in the language of the order's page.
func printReceipt(o *tokenOrder) ([]byte, error) {
	r := receipt{fpdf.New("P", "mm", "A4", ""), o.shop.Words}
	for style, font := range receiptFonts {
		r.AddUTF8FontFromBytes("dejavu", style, font)
	}
	r.SetMargins(receiptMargin, receiptMargin, receiptMargin)
	r.SetAutoPageBreak(true, receiptMargin)
	r.SetTitle(printed(r.w.T("order.receipt")+" "+o.Number), true)
	r.SetLang(r.w.Locale())
	r.AddPage()
	r.head(o)
	r.people(o)
	r.lines(o)
	r.totals(o)
	var out bytes.Buffer
	if err := r.Output(&out); err != nil {
		return nil, fmt.Errorf("api: receipt: %w", err)
	}
	return out.Bytes(), nil
}

// drawn are the scripts whose letters the fonts have, one after the other from left to right.
var drawn = []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Armenian, unicode.Georgian, unicode.Common, unicode.Inherited}

// printed is text as the fonts have it. What they lack, or would draw as a row of unconnected letters, is written in Latin letters, as in a
// passport: a name that somebody can read is better than boxes. The order's page has it as it was typed.
func printed(text string) string {
	var out strings.Builder
	for _, c := range norm.NFC.String(text) {
		wide := c >= '\u3000' && c <= '\u303f' || c >= '\uff00' && c <= '\uffef' // signs and letters of East Asian fonts
		switch {
		case c < ' ' || c == 0x7f:
		case c == '\u202f': // a narrow space that some viewers show as a box
			out.WriteRune('\u00a0')
		case c <= 0xFFFF && unicode.In(c, drawn...) && !wide:
			out.WriteRune(c)
		default:
			latin := unidecode.Unidecode(string(c))
			if latin == "" {
				latin = "?"
			}
			out.WriteString(latin)
		}
	}
	return strings.TrimSpace(strings.ReplaceAll(out.String(), "  ", " "))
}

func (r receipt) say(style string, size float64, text string) {
	r.SetFont("dejavu", style, size)
	r.MultiCell(receiptWidth, size*0.5, printed(text), "", "L", false)
}

func (r receipt) head(o *tokenOrder) {
	if o.Test {
		r.SetTextColor(160, 60, 0)
		r.say("B", 12, r.w.T("common.test_mode")+" – "+r.w.T("common.test_mode_hint"))
		r.SetTextColor(0, 0, 0)
		r.Ln(4)
	}
	r.say("B", 14, o.merchant.Name)
	st := o.merchant.Settings
	contact := st.SupportEmail
	if contact == "" && st.SupportURL == "" {
		contact = o.merchant.Email
	}
	for _, line := range []string{contact, st.SupportURL} {
		if line != "" {
			r.say("", 9, line)
		}
	}
	r.Ln(8)
	r.say("B", 18, r.w.T("order.receipt"))
	r.Ln(2)
	r.say("", 10, r.w.T("order.number", "number", o.Number))
	if o.PaidAt != nil {
		r.say("", 10, r.w.T("order.paid_on", "date", r.w.Date(*o.PaidAt)))
	}
	r.Ln(6)
}

func (r receipt) people(o *tokenOrder) {
	u := o.Customer
	r.say("B", 10, r.w.T("order.billed_to"))
	for _, line := range []string{u.Company, u.FirstName + " " + u.LastName, u.Address, u.Zip + " " + u.City, u.Country, u.VATNumber, u.Email} {
		if line = strings.TrimSpace(line); line != "" {
			r.say("", 10, line)
		}
	}
	r.Ln(8)
}

// row is a text with an amount at its right, the two on one page.
func (r receipt) row(style, text, amount string) {
	r.SetFont("dejavu", style, 10)
	text = printed(text)
	if lines := r.SplitText(text, receiptWidth-amountWidth-4); r.GetY()+float64(len(lines))*6 > 297-receiptMargin {
		r.AddPage()
	}
	y := r.GetY()
	r.MultiCell(receiptWidth-amountWidth-4, 6, text, "", "L", false)
	end := r.GetY()
	r.SetXY(receiptMargin+receiptWidth-amountWidth, y)
	r.CellFormat(amountWidth, 6, printed(amount), "", 0, "R", false, 0, "")
	r.SetXY(receiptMargin, end)
}

func (r receipt) rule() {
	r.Ln(2)
	r.Line(receiptMargin, r.GetY(), receiptMargin+receiptWidth, r.GetY())
	r.Ln(2)
}

func (r receipt) lines(o *tokenOrder) {
	r.rule()
	for _, i := range o.Items {
		r.row("", fmt.Sprintf("%d × %s", i.Quantity, i.Name), r.w.Money(o.Gross(i), o.Currency))
	}
	r.rule()
}

func (r receipt) totals(o *tokenOrder) {
	r.row("", r.w.T("order.subtotal"), r.w.Money(o.Subtotal, o.Currency))
	if o.Discount != 0 {
		r.row("", r.w.T("order.discount"), r.w.Money(o.Minus(), o.Currency))
	}
	if o.Tax != 0 && !o.TaxInclusive {
		r.row("", r.w.T("order.tax"), r.w.Money(o.Tax, o.Currency))
	}
	r.row("B", r.w.T("order.total"), r.w.Money(o.Total, o.Currency))
	if o.Tax != 0 && o.TaxInclusive {
		r.row("", r.w.T("order.tax_included"), r.w.Money(o.Tax, o.Currency))
	}
	if o.AmountRefunded > 0 {
		r.row("", r.w.T("order.amount_refunded"), r.w.Money(-o.AmountRefunded, o.Currency))
	}
}
