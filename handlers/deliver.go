package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"

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
	quick, done := reading(ctx)
	defer done()
	d, err := w.Store.Dispatch(quick, c)
	if errors.Is(err, models.ErrNothingToDo) {
		return w.keepNothing(c)
	}
	if err != nil {
		return w.unread(c, err)
	}
	body, err := w.Store.Body(quick, d)
	if err != nil {
		return w.unread(c, err)
	}
	at := time.Now().UTC()
	header, err := webhook.Header([]string{d.Secret}, d.Event.ID, at, body)
	if err != nil {
		return failed(jobs.Permanent(err))
	}
	header.Set("Content-Type", "application/json")
	var res webhook.Result
	calling(ctx).call(func() {
		ctx, span := w.traceCall(ctx, "POST webhook", attribute.String("purser.delivery.id", d.DeliveryID))
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header))
		res = w.Webhooks.Send(ctx, webhook.Request{URL: d.URL, Method: http.MethodPost, Header: header, Body: body, AllowPrivate: d.AllowPrivate})
		span.SetAttributes(attribute.Int("http.response.status_code", res.StatusCode))
		if !res.Success {
			span.SetStatus(codes.Error, res.Error)
		}
		span.End()
	})
	if w.ObserveWebhook != nil {
		w.ObserveWebhook(webhookOutcome(res))
	}
	attempt := models.DeliveryAttempt{
		DeliveryID: d.DeliveryID, Attempt: d.Attempt, At: at.Truncate(time.Microsecond), DurationMs: int(res.Duration.Milliseconds()), Response: res.Excerpt,
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

// WebhookOutcomes is everything that ObserveWebhook may be told.
var WebhookOutcomes = []string{"success", "3xx", "4xx", "5xx", "timeout", "unreachable", "forbidden", "unusable", "cancelled"}

// webhookOutcome puts a result into one of a few classes, so that the number of the metrics' labels is bounded.
func webhookOutcome(r webhook.Result) string {
	switch {
	case r.Success:
		return "success"
	case r.StatusCode >= 500:
		return "5xx"
	case r.StatusCode >= 400:
		return "4xx"
	case r.StatusCode >= 300:
		return "3xx"
	case r.Error == webhook.FailTimeout:
		return "timeout"
	case r.Error == webhook.FailCancelled:
		return "cancelled"
	case r.Error == webhook.FailForbidden:
		return "forbidden"
	case r.Error == webhook.FailURL, r.Error == webhook.FailRequest, r.StatusCode != 0:
		return "unusable" // an address that is none, or an answer that cannot be read
	}
	return "unreachable" // DNS, TLS, a connection refused or cut
}
