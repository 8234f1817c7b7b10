package api

import (
	"context"

	"github.com/purser-dev/purser/models"
)

// ReceivedMoney says that offline money has arrived.
type ReceivedMoney struct {
	Amount    int64  `json:"amount" minimum:"1" doc:"What arrived, in minor units." example:"9800"`
	Currency  string `json:"currency" minLength:"3" maxLength:"3" doc:"ISO 4217, in capitals." example:"EUR"`
	Reference string `json:"reference,omitempty" maxLength:"200" doc:"What the bank statement says." example:"RF18 5390 0754 7034"`
	Note      string `json:"note,omitempty" maxLength:"500" doc:"For staff; the customer does not see it." example:"Statement 12"`
}

type markPaidInput struct {
	ID   string `path:"id" doc:"The order's id." example:"ord_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Body ReceivedMoney
}

func (s *Server) markPaid(ctx context.Context, in *markPaidInput) (*orderOutput, error) {
	b := &in.Body
	return answerOrder(s.store.MarkPaid(ctx, scope(ctx), in.ID, models.ReceivedMoney{
		Amount: b.Amount, Currency: b.Currency, Reference: b.Reference, Note: b.Note, Actor: actor(ctx),
	}))
}

type reviveOrderInput struct {
	ID   string `path:"id" doc:"The order's id." example:"ord_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Body *noFields
}

func (s *Server) reviveOrder(ctx context.Context, in *reviveOrderInput) (*orderOutput, error) {
	return answerOrder(s.store.ReviveOrder(ctx, scope(ctx), in.ID, actor(ctx)))
}
