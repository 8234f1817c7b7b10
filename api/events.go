package api

import (
	"context"

	"github.com/purser-dev/purser/models"
)

// EventRequest is a merchant's own event.
type EventRequest struct {
	Type string    `json:"type" minLength:"1" maxLength:"100" doc:"custom. and lower-case words with dots between them." example:"custom.license.activated"`
	Data rawObject `json:"data" doc:"Any JSON object of at most 64 KiB." example:"{\"machine\":\"lovelace-1\"}"`
}

type createEventInput struct{ Body EventRequest }

type createEventOutput struct {
	Location string `header:"Location" doc:"The event's address."`
	Body     *models.EventView
}

func (s *Server) createEvent(ctx context.Context, in *createEventInput) (*createEventOutput, error) {
	e, err := s.store.CreateCustomEvent(ctx, scope(ctx), in.Body.Type, models.RawJSON(in.Body.Data.RawMessage))
	if err != nil {
		return nil, problem(err)
	}
	return &createEventOutput{Location: s.public + "/v1/events/" + e.ID, Body: e}, nil
}

type eventInput struct {
	ID string `path:"id" doc:"The event's id, which is also the webhook-id of its deliveries." example:"evt_06f0s8nb5xq7v2k1t9w3c4d5ea"`
}

type eventOutput struct{ Body *models.EventView }

func (s *Server) getEvent(ctx context.Context, in *eventInput) (*eventOutput, error) {
	e, err := s.store.Event(ctx, scope(ctx), in.ID)
	if err != nil {
		return nil, problem(err)
	}
	return &eventOutput{Body: e}, nil
}

type listEventsInput struct {
	PageInput
	Type  string `query:"type" maxLength:"100" doc:"Events of this type only." example:"payment.succeeded"`
	Order string `query:"order" maxLength:"64" doc:"Events about this order only." example:"ord_06f0s8nb5xq7v2k1t9w3c4d5ea"`
}

func (s *Server) listEvents(ctx context.Context, in *listEventsInput) (*listOutput[*models.EventView], error) {
	return listed(s.store.Events(ctx, scope(ctx), models.EventFilter{Type: in.Type, Order: in.Order}, in.page()))
}
