package api

import (
	"context"

	"github.com/purser-dev/purser/models"
)

type deliveryInput struct {
	ID string `path:"id" doc:"The delivery's id." example:"dlv_06f0s8nb5xq7v2k1t9w3c4d5ea"`
}

type deliveryOutput struct{ Body *models.DeliveryDetail }

func answerDelivery(d *models.DeliveryDetail, err error) (*deliveryOutput, error) {
	if err != nil {
		return nil, problem(err)
	}
	return &deliveryOutput{Body: d}, nil
}

func (s *Server) getDelivery(ctx context.Context, in *deliveryInput) (*deliveryOutput, error) {
	return answerDelivery(s.store.Delivery(ctx, scope(ctx), in.ID))
}

type listDeliveriesInput struct {
	PageInput
	Endpoint string `query:"endpoint" maxLength:"64" doc:"Deliveries to this webhook endpoint only." example:"whe_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Event    string `query:"event" maxLength:"64" doc:"Deliveries of this event only." example:"evt_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Status   string `query:"status" enum:"pending,succeeded,failed,cancelled"`
}

func (s *Server) listDeliveries(ctx context.Context, in *listDeliveriesInput) (*listOutput[models.DeliveryView], error) {
	return listed(s.store.Deliveries(ctx, scope(ctx), models.DeliveryFilter{
		Endpoint: in.Endpoint, Event: in.Event, Status: models.DeliveryStatus(in.Status),
	}, in.page()))
}

type retryDeliveryInput struct {
	ID   string `path:"id" doc:"The delivery's id." example:"dlv_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Body *noFields
}

func (s *Server) retryDelivery(ctx context.Context, in *retryDeliveryInput) (*deliveryOutput, error) {
	if err := s.store.RetryDelivery(ctx, scope(ctx), in.ID, actor(ctx)); err != nil {
		return nil, problem(err)
	}
	return answerDelivery(s.store.Delivery(ctx, scope(ctx), in.ID))
}
