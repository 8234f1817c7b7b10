package handlers_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"testing"

	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const (
	printedIBAN = "DE89 3704 0044 0532 0130 00"
	bankConfig  = `{"account_holder":"Analytical Engines","iban":"DE89370400440532013000","bic":"COBADEFFXXX","bank_name":"Commerzbank","text":"Please pay soon."}`
)

// bank lets the shop take transfers.
func (b *bench) bank() *models.PaymentMethodView {
	b.Helper()
	m, err := b.store.CreatePaymentMethod(b.Context(), b.shop.Test, models.PaymentMethodInput{
		Method: "bank_transfer", Gateway: "bank_transfer", Public: json.RawMessage(bankConfig), Whole: json.RawMessage(bankConfig), Active: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func (b *bench) transferOrder() *models.OrderView {
	b.Helper()
	b.product("app", models.MethodTemplate, `{}`)
	in := storetest.OrderInput("app", 1)
	in.PaymentMethod, in.MethodClass = "bank_transfer", "offline"
	o, err := b.store.CreateOrder(b.Context(), b.shop.Test, in)
	if err != nil {
		b.Fatal(err)
	}
	return o
}

// transfer begins a transfer for an order and records what the customer has to do.
func (b *bench) transfer(o *models.OrderView, method string) *models.Payment {
	b.Helper()
	p, err := b.store.BeginPayment(b.Context(), b.shop.Test, o.ID, models.NewPayment{
		Method: "bank_transfer", Gateway: "bank_transfer", MethodID: method, Class: "offline", Actor: "test",
	})
	if err != nil {
		b.Fatal(err)
	}
	_, err = b.store.ApplyPayment(b.Context(), p.ID, models.PaymentResult{
		Status: models.PaymentPending, Reference: "transfer." + p.ID,
		Instructions: &models.Instructions{AccountHolder: "Analytical Engines", IBAN: "DE89370400440532013000", Reference: "RF18539007547034", Amount: o.Total, Currency: "EUR"},
	}, "test")
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func TestInstructionsByEmail(t *testing.T) {
	each(t, func(b *bench) {
		method := b.bank()
		o := b.transferOrder()
		b.transfer(o, method.ID)
		b.work()
		b.eventually("the instructions are sent", func() bool { return len(b.emailsOf(models.EmailInstructions, b.mail.taken())) == 1 })
		m := b.emailsOf(models.EmailInstructions, b.mail.taken())[0]
		for _, want := range []string{printedIBAN, "RF18 5390 0754 7034", "49.00", "Analytical Engines", o.PaymentURL} {
			if !strings.Contains(m.Text, want) {
				t.Errorf("the email does not have %s:\n%s", want, m.Text)
			}
		}
		code := scannable(t, m)
		want, err := payment.EPCCode(payment.Instructions{
			AccountHolder: "Analytical Engines", IBAN: "DE89370400440532013000", Reference: "RF18539007547034", Amount: o.Total, Currency: "EUR",
		})
		if err != nil || !bytes.Equal(code, want) {
			t.Errorf("the code is not that of the transfer: %v", err)
		}
		b.idle()
		if n := len(b.mail.taken()); n != 1 {
			t.Errorf("%d emails", n)
		}
		b.sound()
	})
}

// A transfer that no banking app could read from a code has none.
func TestInstructionsWithoutACode(t *testing.T) {
	each(t, func(b *bench) {
		method := b.bank()
		o := b.transferOrder()
		p, err := b.store.BeginPayment(b.Context(), b.shop.Test, o.ID, models.NewPayment{
			Method: "bank_transfer", Gateway: "bank_transfer", MethodID: method.ID, Class: "offline", Actor: "test",
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.store.ApplyPayment(b.Context(), p.ID, models.PaymentResult{
			Status: models.PaymentPending, Reference: "transfer." + p.ID, // outside the SEPA area
			Instructions: &models.Instructions{AccountHolder: "Analytical Engines", IBAN: "TR330006100519786457841326", Reference: "RF18539007547034", Amount: o.Total, Currency: "EUR"},
		}, "test")
		if err != nil {
			t.Fatal(err)
		}
		b.work()
		b.eventually("the instructions are sent", func() bool { return len(b.emailsOf(models.EmailInstructions, b.mail.taken())) == 1 })
		m := b.emailsOf(models.EmailInstructions, b.mail.taken())[0]
		if len(m.Pictures) != 0 || strings.Contains(m.HTML, "<img") || !strings.Contains(m.Text, "TR33 0006") {
			t.Errorf("%d pictures, %s", len(m.Pictures), m.HTML)
		}
	})
}

// scannable reads an email as a mail program does, and returns the picture that its HTML shows.
func scannable(t *testing.T, m mail.Message) []byte {
	t.Helper()
	raw, err := m.Raw()
	if err != nil {
		t.Fatal(err)
	}
	letter, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	related := partsOf(t, "multipart/related", textproto.MIMEHeader(letter.Header), letter.Body)
	if len(related) != 2 {
		t.Fatalf("%d related parts", len(related))
	}
	texts := partsOf(t, "multipart/alternative", related[0].header, bytes.NewReader(related[0].body))
	if len(texts) != 2 || !strings.HasPrefix(texts[0].header.Get("Content-Type"), "text/plain") || !strings.HasPrefix(texts[1].header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d texts, %v", len(texts), texts)
	}
	id := strings.Trim(related[1].header.Get("Content-ID"), "<>")
	if id == "" || strings.Count(string(texts[1].body), `src="cid:`+id+`"`) != 1 || strings.Contains(string(texts[0].body), "cid:") {
		t.Errorf("the picture %q is not shown once: %s", id, texts[1].body)
	}
	if kind := related[1].header.Get("Content-Type"); !strings.HasPrefix(kind, "image/png") || !strings.HasPrefix(related[1].header.Get("Content-Disposition"), "inline") {
		t.Errorf("%v", related[1].header)
	}
	code, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(related[1].body)))
	if err != nil {
		t.Fatal(err)
	}
	if picture, err := png.Decode(bytes.NewReader(code)); err != nil || picture.Bounds().Dx() < 200 || len(code) > 4096 {
		t.Errorf("a picture of %d bytes: %v", len(code), err)
	}
	return code
}

type mailPart struct {
	header textproto.MIMEHeader
	body   []byte
}

func partsOf(t *testing.T, kind string, header textproto.MIMEHeader, body io.Reader) (parts []mailPart) {
	t.Helper()
	found, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || found != kind {
		t.Fatalf("%q instead of %s: %v", found, kind, err)
	}
	r := multipart.NewReader(body, params["boundary"])
	for {
		p, err := r.NextPart() // quoted-printable is decoded
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, mailPart{p.Header, content})
	}
}

// Nobody is told to pay by a way that was given up, or what was paid, before the email could be sent.
func TestInstructionsThatAreNoLongerWanted(t *testing.T) {
	each(t, func(b *bench) {
		method := b.bank()
		switched, paid := b.transferOrder(), storetest.Order(b, b.store, b.shop.Test, "app", 1)
		b.transfer(switched, method.ID)
		b.transfer(paid, method.ID)
		if _, err := b.store.BeginPayment(b.Context(), b.shop.Test, switched.ID, models.NewPayment{Method: "card", Gateway: "test", Class: "online", Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.store.MarkPaid(b.Context(), b.shop.Test, paid.ID, models.ReceivedMoney{Amount: paid.Total, Currency: "EUR", Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		b.work()
		b.delivered(paid.ID)
		for _, j := range storetest.Jobs(b, b.store, jobs.KindSendEmail) {
			b.jobIn(j.ID, models.JobDone)
		}
		if n := len(b.emailsOf(models.EmailInstructions, b.mail.tried())); n != 0 {
			t.Errorf("%d instructions were sent", n)
		}
		if n := storetest.Count(b, b.store, "SELECT COUNT(*) FROM emails WHERE kind = 'payment_instructions' AND status = 'skipped'"); n != 2 {
			t.Errorf("%d instructions were left out", n)
		}
		b.sound()
	})
}

// A reminder of an order that is to be paid by transfer has the account, whether or not a transfer was begun.
func TestRemindersWithTheAccount(t *testing.T) {
	each(t, func(b *bench) {
		b.bank()
		o := b.transferOrder()
		card := storetest.Order(b, b.store, b.shop.Test, "app", 1)
		b.age(o.ID, 150)
		b.age(card.ID, 2)
		b.work()
		b.tick(jobs.KindRemind)
		b.eventually("both are reminded", func() bool { return len(b.emailsOf(models.EmailReminder, b.mail.taken())) >= 2 })
		for _, m := range b.emailsOf(models.EmailReminder, b.mail.taken()) {
			transfer := strings.Contains(m.Text, o.Number)
			if strings.Contains(m.Text, printedIBAN) != transfer || strings.Contains(m.Text, "Please pay soon.") != transfer {
				t.Errorf("a reminder of a transfer: %v, with\n%s", transfer, m.Text)
			}
			if transfer {
				scannable(t, m)
			} else if len(m.Pictures) != 0 || strings.Contains(m.HTML, "cid:") {
				t.Errorf("a code in a reminder of a payment by card: %s", m.HTML)
			}
		}
		b.idle()
	})
}
