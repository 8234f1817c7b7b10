package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// deliver sends one event to one endpoint and keeps the attempt for the merchant's developers to see.
//
// At least once: the id of the event is the same on every attempt, so that the receiver can deduplicate. Any 2xx is a success.
// Permanent: 410, and an address that must not be reached. Everything else is tried again on the published schedule, or later if the
// receiver asks for it; after the last attempt the delivery is failed, and can be retried by hand.
func (w *Worker) deliver(ctx context.Context, c *models.Claim) result {
	d, err := w.Store.Dispatch(ctx, c.Args.Delivery)
	if errors.Is(err, models.ErrNothingToDo) {
		return w.keepNothing(c)
	}
	if err != nil {
		return w.unread(c, err)
	}
	body, err := w.Store.Body(ctx, d)
	if err != nil {
		return w.unread(c, err)
	}
	at := time.Now().UTC()
	header, err := webhook.Header([]string{d.Secret}, d.Event.ID, at, body)
	if err != nil {
		return failed(jobs.Permanent(err))
	}
	header.Set("Content-Type", "application/json")
	res := w.Webhooks.Send(ctx, webhook.Request{URL: d.Endpoint.URL, Method: http.MethodPost, Header: header, Body: body, AllowPrivate: d.AllowPrivate})
	attempt := models.DeliveryAttempt{
		DeliveryID: d.Delivery.ID, Attempt: d.Attempt, At: at.Truncate(time.Microsecond), DurationMs: int(res.Duration.Milliseconds()), Response: res.Excerpt,
	}
	if res.StatusCode != 0 {
		attempt.ResponseStatus = &res.StatusCode
	}
	if res.Success {
		return kept(func(ctx context.Context) error { return w.Store.KeepDelivered(ctx, c, attempt) })
	}
	attempt.Error = &res.Error
	cause := errors.New(res.Error)
	switch {
	case res.Gone || res.Error == webhook.FailForbidden || res.Error == webhook.FailURL:
		cause = jobs.Permanent(cause)
	case res.RetryAfter > 0:
		cause = jobs.RetryAfter(cause, max(res.RetryAfter, c.Kind.Backoff(c.Attempt-c.MaxAttempts+c.Kind.MaxAttempts)))
	}
	return result{err: cause, fail: func(ctx context.Context, err error) (models.Verdict, error) {
		return w.Store.FailDelivery(ctx, c, attempt, err)
	}}
}
