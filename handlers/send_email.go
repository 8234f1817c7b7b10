package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"

	"github.com/purser-dev/purser/handlers/license"
	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// sendEmail renders one email from the present state and hands it to the mail server.
//
// Once when nothing fails, at least once when the process ends between the server's acceptance and our writing that down; the
// Message-ID is the same on every try. Permanent: an answer of 5xx to the message, and an email that cannot be rendered. Everything
// else is tried again; when the attempts are used up the email is failed, and with a licence email its item.
func (w *Worker) sendEmail(ctx context.Context, c *models.Claim) result {
	quick, done := reading(ctx)
	defer done()
	m, err := w.Store.Mailing(quick, c.Args.Email)
	if errors.Is(err, models.ErrNothingToDo) {
		return w.keepNothing(c)
	}
	if err != nil {
		return w.unread(c, err)
	}
	if !wanted(m) {
		return kept(func(ctx context.Context) error { return w.Store.KeepSkipped(ctx, c) })
	}
	account, err := w.account(quick, m)
	if err != nil {
		return w.unread(c, err)
	}
	message, err := w.compose(m, account)
	if err != nil {
		return failed(jobs.Permanent(err))
	}
	sending, span := w.traceCall(ctx, "send email", attribute.String("purser.email.id", m.Email.ID), attribute.String("purser.email.kind", string(m.Email.Kind)))
	err = w.Mail.Send(sending, message)
	endSpan(span, err)
	if err != nil {
		if refused, ok := errors.AsType[*mail.SendError](err); ok && !refused.Temporary {
			return failed(jobs.Permanent(err))
		}
		return failed(err)
	}
	return kept(func(ctx context.Context) error { return w.Store.KeepSent(ctx, c, &m.Email) })
}

func (w *Worker) compose(m *models.Mailing, account *payment.Instructions) (mail.Message, error) {
	kind := mail.Kind(m.Email.Kind)
	data, err := w.mailData(m)
	if err != nil {
		return mail.Message{}, err
	}
	if account != nil {
		tellAccount(&data, account)
	}
	to, locale := m.Order.Customer.Email, m.Order.Locale
	if kind.ToMerchant() {
		to, locale = m.Merchant.Email, "en"
	}
	text, err := mail.Render(kind, locale, data)
	if err != nil {
		return mail.Message{}, err
	}
	return mail.Message{
		From: w.MailFrom, FromName: m.Merchant.Name, ReplyTo: data.Merchant.SupportEmail, To: to,
		Subject: text.Subject, Text: text.Text, HTML: text.HTML, Pictures: text.Pictures,
		MessageID: mail.MessageID(m.Email.ID, w.MailFrom), Date: m.Email.CreatedAt,
		Headers: map[string]string{"Content-Language": text.Language},
	}, nil
}

func (w *Worker) mailData(m *models.Mailing) (mail.Data, error) {
	o := &m.Order
	d := mail.Data{
		Merchant: mail.Merchant{
			Name: m.Merchant.Name, SupportEmail: m.Merchant.Settings.SupportEmail, SupportURL: m.Merchant.Settings.SupportURL,
			BrandColor: m.Merchant.Settings.Branding.Color, LogoURL: m.Merchant.Settings.Branding.LogoURL,
		},
		Customer: mail.Customer{
			FirstName: o.Customer.FirstName, LastName: o.Customer.LastName, Email: o.Customer.Email, Company: o.Customer.Company,
			Country: o.Customer.Country, City: o.Customer.City, Zip: o.Customer.Zip, Address: o.Customer.Address, Phone: o.Customer.Phone,
		},
		Order: mail.Order{
			Number: o.Number, URL: o.OrderURL, PayURL: o.PaymentURL, Date: o.CreatedAt, ExpiresAt: m.ExpiresAt, PaymentMethod: methodName(o.PaymentMethod),
			Currency: o.Currency, Subtotal: o.Subtotal, Discount: o.Discount, Tax: o.Tax, TaxInclusive: o.TaxInclusive, Total: o.Total,
		},
		Test: o.Test, Date: m.Email.CreatedAt, ReminderNumber: m.Email.Stage + 1, PortalURL: w.PublicURL + "/esupport",
	}
	if d.Merchant.SupportEmail == "" && d.Merchant.SupportURL == "" {
		d.Merchant.SupportEmail = m.Merchant.Email
	}
	for i := range o.Items {
		d.Order.Items = append(d.Order.Items, mailItem(&o.Items[i]))
	}
	for _, l := range m.Orders {
		d.Orders = append(d.Orders, mail.OrderLink{Number: l.Number, URL: l.URL, Date: l.CreatedAt})
	}
	if m.Item != nil {
		d.Item = mailItem(m.Item)
		if m.Item.Failure != nil {
			d.FailureReason = *m.Item.Failure
		}
	}
	// Not for the notice that an item failed: settings that are not valid may be why.
	if m.Product != nil && m.Email.Kind != models.EmailFulfillmentFailed {
		d.Stock = mail.Stock{Product: m.Product.Name, Available: m.Stock.Available, Waiting: m.Stock.Waiting}
		settings, err := license.ParseSettings(m.Product.LicenseMethod, json.RawMessage(m.Product.License))
		if err != nil {
			return d, fmt.Errorf("the product's licence settings are not valid: %w", err)
		}
		if m.Email.Kind == models.EmailLicense {
			d.Text = settings.EmailText
		}
		if settings.LowThreshold != nil {
			d.Stock.Threshold = *settings.LowThreshold
		}
	}
	return d, nil
}

func mailItem(i *models.ItemView) mail.Item {
	out := mail.Item{Name: i.Name, Quantity: i.Quantity, UnitPrice: i.UnitPrice, Total: i.Total}
	for _, l := range i.Licenses {
		if l.Status == models.LicenseActive {
			out.Licenses = append(out.Licenses, l.Key)
		}
	}
	return out
}

func methodName(method *string) string {
	if method == nil {
		return ""
	}
	switch *method {
	case payment.MethodCard:
		return "Card"
	case payment.MethodBankTransfer:
		return "Bank transfer"
	}
	return *method
}
