package handlers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/purser-dev/purser/handlers/license"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// fulfil produces the licences of one order item.
//
// Safe to repeat because licences are unique for item and unit, because keys from the pool are taken in the transaction that saves
// them, and because keys that were made but not saved are known to nobody. Permanent: a product whose settings cannot produce a
// licence. Everything else is tried again; when the attempts are used up the item is failed and the merchant is told.
func (w *Worker) fulfil(ctx context.Context, c *models.Claim) result {
	if c.Args.Pool {
		return kept(func(ctx context.Context) error { return w.Store.KeepFromPool(ctx, c) })
	}
	quick, done := reading(ctx)
	defer done()
	f, err := w.Store.Fulfilment(quick, c.Args.Item)
	if errors.Is(err, models.ErrNothingToDo) {
		return w.keepNothing(c)
	}
	if err != nil {
		return w.unread(c, err)
	}
	if f.Item.LicenseMethod == models.MethodPool {
		return kept(func(ctx context.Context) error { return w.Store.KeepFromPool(ctx, c) })
	}
	keys, err := w.generate(f)
	if err != nil {
		return failed(jobs.Permanent(err))
	}
	return kept(func(ctx context.Context) error { return w.Store.KeepLicenses(ctx, c, keys) })
}

// generate makes a licence for each unit that lacks one.
func (w *Worker) generate(f *models.Fulfilment) ([]string, error) {
	settings, err := license.ParseSettings(f.Item.LicenseMethod, f.Product.License)
	if err != nil {
		return nil, fmt.Errorf("the product's licence settings are not valid: %w", err)
	}
	var one func(unit int) (string, error)
	switch f.Item.LicenseMethod {
	case models.MethodTemplate:
		one = func(int) (string, error) { return settings.Pattern.Generate(rand.Reader) }
	case models.MethodEmulator:
		if !f.Order.Test {
			return nil, errors.New("emulated licences are for test orders only")
		}
		one = func(int) (string, error) { return license.Emulate(rand.Reader) }
	case models.MethodSigned:
		key, err := w.Store.SigningKey(&f.Product)
		if err != nil {
			return nil, err
		}
		issued := time.Now()
		one = func(unit int) (string, error) { return license.Sign(key, payload(f, settings, unit, issued)) }
	default:
		return nil, fmt.Errorf("licences of method %s cannot be generated", f.Item.LicenseMethod)
	}
	keys := make([]string, len(f.Missing))
	for i, unit := range f.Missing {
		if keys[i], err = one(unit); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func payload(f *models.Fulfilment, settings license.Settings, unit int, issued time.Time) license.Payload {
	p := license.Payload{
		Order: f.Order.ID, OrderNumber: f.Order.Number, Item: f.Item.ID, Unit: unit, Product: f.Item.ProductID, SKU: f.Item.SKU,
		Quantity: 1, IssuedAt: issued, Test: f.Order.Test,
	}
	if f.Item.LicensePer == "item" {
		p.Quantity = f.Item.Quantity
	}
	if settings.LicensedTo {
		p.LicensedTo = licensee(f.Order.Customer)
	}
	return p
}

// licensee is the company of a business, or else the customer's name.
func licensee(c models.Customer) string {
	name := strings.TrimSpace(c.FirstName + " " + c.LastName)
	if c.Type == "business" && c.Company != "" {
		name = c.Company
	}
	if r := []rune(name); len(r) > license.MaxLicensedTo {
		name = string(r[:license.MaxLicensedTo])
	}
	return name
}

// fillPool gives newly uploaded keys to the items that wait for them. Safe to repeat because each item is filled in a transaction of
// its own that looks again.
func (w *Worker) fillPool(ctx context.Context, c *models.Claim) result {
	if err := w.Store.FillWaiting(ctx, c.Args.Product, c.Args.Test); err != nil {
		return w.unread(c, err)
	}
	return w.keepNothing(c)
}
