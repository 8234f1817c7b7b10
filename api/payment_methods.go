package api

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// PaymentMethodRequest is a new way to pay.
type PaymentMethodRequest struct {
	Method     string    `json:"method" enum:"card,bank_transfer" doc:"What customers choose." example:"bank_transfer"`
	Gateway    string    `json:"gateway" enum:"stripe,bank_transfer" doc:"stripe takes cards, bank_transfer takes transfers." example:"bank_transfer"`
	Currencies []string  `json:"currencies,omitempty" maxItems:"200" doc:"ISO 4217 codes of the orders that it is for; all without." example:"[\"EUR\"]"`
	Config     rawObject `json:"config" doc:"For stripe: secret_key and webhook_secrets. For bank_transfer: account_holder, iban, bic, bank_name and text. It is sealed, and secrets never come out again."`
	Active     *bool     `json:"active,omitempty" default:"true" doc:"Whether it is offered."`
	Position   int       `json:"position,omitempty" minimum:"0" maximum:"1000000" default:"0" doc:"Methods are offered in this order. Of several that are for one method and currency the first is."`
}

// PaymentMethodChanges is a merge patch of a way to pay.
type PaymentMethodChanges struct {
	Currencies change[[]string]  `json:"currencies,omitzero" maxItems:"200" doc:"null for all." example:"[\"EUR\",\"CHF\"]"`
	Config     change[rawObject] `json:"config,omitzero" nullable:"false" doc:"Members that are absent stay as they are."`
	Active     change[bool]      `json:"active,omitzero"`
	Position   change[int]       `json:"position,omitzero" minimum:"0" maximum:"1000000"`
}

// PaymentMethod is a way to pay, without its secrets.
type PaymentMethod struct {
	models.PaymentMethodView
	CallbackURL *string `json:"callback_url" doc:"Where the gateway's webhook endpoint must send its events; null where nobody calls back." example:"https://purser.example/gateway/stripe/callback/pmt_06f0s8nb5xq7v2k1t9w3c4d5ea"`
}

type createPaymentMethodInput struct{ Body PaymentMethodRequest }

type createPaymentMethodOutput struct {
	Location string `header:"Location" doc:"The payment method's address in this API."`
	Body     *PaymentMethod
}

func (s *Server) createPaymentMethod(ctx context.Context, in *createPaymentMethodInput) (*createPaymentMethodOutput, error) {
	b := &in.Body
	if !payment.Takes(b.Gateway, b.Method) {
		return nil, invalid("gateway", "does not take this method")
	}
	public, whole, err := checkedConfig(scope(ctx), b.Gateway, b.Config.RawMessage)
	if err != nil {
		return nil, problem(err)
	}
	v, err := s.store.CreatePaymentMethod(ctx, scope(ctx), models.PaymentMethodInput{
		Method: b.Method, Gateway: b.Gateway, Currencies: b.Currencies, Public: public, Whole: whole,
		Active: b.Active == nil || *b.Active, Position: b.Position,
	})
	if err != nil {
		return nil, problem(err)
	}
	return &createPaymentMethodOutput{Location: s.public + "/v1/payment-methods/" + v.ID, Body: s.paymentMethodAnswer(v)}, nil
}

// checkedConfig checks a configuration with the gateway's leaf, and that it takes real money in live mode and none in test mode.
func checkedConfig(sc models.Scope, gateway string, raw json.RawMessage) (public, whole json.RawMessage, err error) {
	if public, whole, err = payment.ParseConfig(gateway, raw); err != nil {
		return nil, nil, err
	}
	opened, err := payment.Open(gateway, whole)
	if err != nil {
		return nil, nil, err
	}
	if keyed, ok := opened.(interface{ Live() bool }); ok && keyed.Live() == sc.Test {
		if sc.Test {
			return nil, nil, invalid("config.secret_key", "must be one of the gateway's test mode, because the API key is")
		}
		return nil, nil, invalid("config.secret_key", "must be one of the gateway's live mode, because the API key is")
	}
	return public, whole, nil
}

func (s *Server) paymentMethodAnswer(v *models.PaymentMethodView) *PaymentMethod {
	a := &PaymentMethod{PaymentMethodView: *v}
	if v.Gateway == models.GatewayStripe {
		u := s.public + "/gateway/" + v.Gateway + "/callback/" + v.ID
		a.CallbackURL = &u
	}
	return a
}

type paymentMethodInput struct {
	ID string `path:"id" doc:"The payment method's id." example:"pmt_06f0s8nb5xq7v2k1t9w3c4d5ea"`
}

type paymentMethodOutput struct{ Body *PaymentMethod }

func (s *Server) answerPaymentMethod(v *models.PaymentMethodView, err error) (*paymentMethodOutput, error) {
	if err != nil {
		return nil, problem(err)
	}
	return &paymentMethodOutput{Body: s.paymentMethodAnswer(v)}, nil
}

func (s *Server) getPaymentMethod(ctx context.Context, in *paymentMethodInput) (*paymentMethodOutput, error) {
	return s.answerPaymentMethod(s.store.PaymentMethod(ctx, scope(ctx), in.ID))
}

type listPaymentMethodsInput struct{ PageInput }

func (s *Server) listPaymentMethods(ctx context.Context, in *listPaymentMethodsInput) (*listOutput[*PaymentMethod], error) {
	views, next, err := s.store.PaymentMethods(ctx, scope(ctx), in.page())
	answers := make([]*PaymentMethod, len(views))
	for i, v := range views {
		answers[i] = s.paymentMethodAnswer(v)
	}
	return listed(answers, next, err)
}

type updatePaymentMethodInput struct {
	ID   string `path:"id" doc:"The payment method's id." example:"pmt_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Body PaymentMethodChanges
}

func (s *Server) updatePaymentMethod(ctx context.Context, in *updatePaymentMethodInput) (*paymentMethodOutput, error) {
	b := &in.Body
	patch := models.PaymentMethodPatch{}
	if b.Currencies.Set {
		currencies := append([]string{}, b.Currencies.Value...) // null: none named, so all
		patch.Currencies = &currencies
	}
	if b.Active.Set {
		active := b.Active.Null || b.Active.Value
		patch.Active = &active
	}
	if b.Position.Set {
		patch.Position = &b.Position.Value
	}
	if !b.Config.Set {
		return s.answerPaymentMethod(s.store.UpdatePaymentMethod(ctx, scope(ctx), in.ID, patch))
	}
	if b.Config.Null {
		return nil, invalid("config", "must be an object")
	}
	var v *models.PaymentMethodView
	err := s.store.Transaction(ctx, func(ctx context.Context) (err error) {
		// An update that changes nothing locks the method, so that its configuration is still the same when it is written.
		if _, err = s.store.UpdatePaymentMethod(ctx, scope(ctx), in.ID, models.PaymentMethodPatch{}); err != nil {
			return err
		}
		if patch.Public, patch.Whole, err = s.mergedConfig(ctx, in.ID, b.Config.Value.RawMessage); err != nil {
			return err
		}
		v, err = s.store.UpdatePaymentMethod(ctx, scope(ctx), in.ID, patch)
		return err
	})
	return s.answerPaymentMethod(v, err)
}

// mergedConfig applies a merge patch to the configuration that a method has now.
func (s *Server) mergedConfig(ctx context.Context, id string, patch json.RawMessage) (public, whole json.RawMessage, err error) {
	gateway, sc, now, err := s.store.PaymentMethodConfig(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	var have, changes map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(now, &have), json.Unmarshal(patch, &changes)); err != nil {
		return nil, nil, invalid("config", "must be an object")
	}
	for name, value := range changes {
		if string(value) == "null" {
			delete(have, name)
			continue
		}
		have[name] = value
	}
	merged, err := json.Marshal(have)
	if err != nil {
		return nil, nil, err
	}
	return checkedConfig(sc, gateway, merged)
}

func (s *Server) deletePaymentMethod(ctx context.Context, in *paymentMethodInput) (*deletionOutput, error) {
	if err := s.store.DeletePaymentMethod(ctx, scope(ctx), in.ID); err != nil {
		return nil, problem(err)
	}
	return &deletionOutput{Body: Deletion{ID: in.ID, Deleted: true}}, nil
}
