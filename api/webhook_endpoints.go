package api

import (
	"context"
	"strings"

	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/models"
)

// WebhookEndpointRequest is a new webhook endpoint.
type WebhookEndpointRequest struct {
	URL                string   `json:"url" doc:"Where events are posted to. https, except in test mode and for merchants whose targets may be private." example:"https://shop.example/webhooks/purser"`
	Events             []string `json:"events,omitempty" minItems:"1" maxItems:"50" doc:"Event types, prefixes such as order.*, or * for all, which is the default." example:"[\"payment.succeeded\",\"product.*\"]"`
	Format             string   `json:"format,omitempty" enum:"standard," default:"standard" doc:"standard follows the Standard Webhooks specification."`
	Description        string   `json:"description,omitempty" maxLength:"500" example:"The shop's own licence server"`
	IncludeLicenseKeys bool     `json:"include_license_keys,omitempty" doc:"Put licence keys into what is sent; they are masked otherwise."`
}

// WebhookEndpointChanges is a merge patch of a webhook endpoint.
type WebhookEndpointChanges struct {
	URL                change[string]   `json:"url,omitzero" nullable:"false" example:"https://shop.example/webhooks/purser"`
	Events             change[[]string] `json:"events,omitzero" minItems:"1" maxItems:"50" doc:"Replaces all subscriptions; null for *." example:"[\"payment.succeeded\",\"product.*\"]"`
	Format             change[string]   `json:"format,omitzero" enum:"standard"`
	Description        change[string]   `json:"description,omitzero" maxLength:"500"`
	IncludeLicenseKeys change[bool]     `json:"include_license_keys,omitzero"`
}

type createWebhookEndpointInput struct{ Body WebhookEndpointRequest }

type createWebhookEndpointOutput struct {
	Location string `header:"Location" doc:"The endpoint's address in this API."`
	Body     *models.WebhookEndpointView
}

func (s *Server) createWebhookEndpoint(ctx context.Context, in *createWebhookEndpointInput) (*createWebhookEndpointOutput, error) {
	b := &in.Body
	if err := s.checkTarget(ctx, b.URL); err != nil {
		return nil, err
	}
	w, err := s.store.CreateWebhookEndpoint(ctx, scope(ctx), models.WebhookEndpointInput{
		URL: b.URL, Events: b.Events, Format: b.Format, Description: b.Description, IncludeLicenseKeys: b.IncludeLicenseKeys,
		Secret: webhook.NewSecret(),
	})
	if err != nil {
		return nil, problem(err)
	}
	return &createWebhookEndpointOutput{Location: s.public + "/v1/webhook-endpoints/" + w.ID, Body: w}, nil
}

// checkTarget refuses an address that nothing would ever be sent to. Names that resolve to a forbidden address are found when they
// are dialled. Live events hold personal data, so they go to the internet encrypted.
func (s *Server) checkTarget(ctx context.Context, url string) error {
	m, err := s.store.Merchant(ctx, scope(ctx).MerchantID)
	if err != nil {
		return problem(err)
	}
	if err := s.Webhooks.CheckURL(url, m.AllowPrivateTargets); err != nil {
		return invalid("url", strings.TrimPrefix(err.Error(), "url "))
	}
	if !scope(ctx).Test && !m.AllowPrivateTargets && !strings.HasPrefix(strings.ToLower(url), "https://") {
		return invalid("url", "must begin with https:// in live mode")
	}
	return nil
}

type webhookEndpointInput struct {
	ID string `path:"id" doc:"The endpoint's id." example:"whe_06f0s8nb5xq7v2k1t9w3c4d5ea"`
}

type webhookEndpointOutput struct{ Body *models.WebhookEndpointView }

func answerWebhookEndpoint(w *models.WebhookEndpointView, err error) (*webhookEndpointOutput, error) {
	if err != nil {
		return nil, problem(err)
	}
	return &webhookEndpointOutput{Body: w}, nil
}

func (s *Server) getWebhookEndpoint(ctx context.Context, in *webhookEndpointInput) (*webhookEndpointOutput, error) {
	return answerWebhookEndpoint(s.store.WebhookEndpoint(ctx, scope(ctx), in.ID))
}

type listWebhookEndpointsInput struct{ PageInput }

func (s *Server) listWebhookEndpoints(ctx context.Context, in *listWebhookEndpointsInput) (*listOutput[*models.WebhookEndpointView], error) {
	return listed(s.store.WebhookEndpoints(ctx, scope(ctx), in.page()))
}

type updateWebhookEndpointInput struct {
	ID   string `path:"id" doc:"The endpoint's id." example:"whe_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Body WebhookEndpointChanges
}

func (s *Server) updateWebhookEndpoint(ctx context.Context, in *updateWebhookEndpointInput) (*webhookEndpointOutput, error) {
	b := &in.Body
	if b.URL.Set && !b.URL.Null {
		if err := s.checkTarget(ctx, b.URL.Value); err != nil {
			return nil, err
		}
	}
	return answerWebhookEndpoint(s.store.UpdateWebhookEndpoint(ctx, scope(ctx), in.ID, models.WebhookEndpointPatch{
		URL: b.URL.Optional, Events: b.Events.Optional, Format: b.Format.Optional, Description: b.Description.Optional,
		IncludeLicenseKeys: b.IncludeLicenseKeys.Optional,
	}))
}

// Deletion is the answer of an operation after which the object is gone.
type Deletion struct {
	ID      string `json:"id" example:"whe_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Deleted bool   `json:"deleted" doc:"Always true."`
}

type deletionOutput struct{ Body Deletion }

func (s *Server) deleteWebhookEndpoint(ctx context.Context, in *webhookEndpointInput) (*deletionOutput, error) {
	if err := s.store.DeleteWebhookEndpoint(ctx, scope(ctx), in.ID); err != nil {
		return nil, problem(err)
	}
	return &deletionOutput{Body: Deletion{ID: in.ID, Deleted: true}}, nil
}

type testWebhookEndpointInput struct {
	ID   string `path:"id" doc:"The endpoint's id." example:"whe_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Body *noFields
}

type testWebhookEndpointOutput struct {
	Location string `header:"Location" doc:"The delivery's address; get it to see how it went."`
	Body     *models.DeliveryDetail
}

func (s *Server) testWebhookEndpoint(ctx context.Context, in *testWebhookEndpointInput) (*testWebhookEndpointOutput, error) {
	id, err := s.store.SendTestEvent(ctx, scope(ctx), in.ID)
	if err != nil {
		return nil, problem(err)
	}
	d, err := s.store.Delivery(ctx, scope(ctx), id)
	if err != nil {
		return nil, problem(err)
	}
	return &testWebhookEndpointOutput{Location: s.public + "/v1/deliveries/" + d.ID, Body: d}, nil
}
