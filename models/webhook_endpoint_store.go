package models

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// The bounds of webhook endpoints.
const (
	maxEndpoints     = 50 // per merchant and mode
	maxSubscriptions = 50
	formatStandard   = "standard"
	endpointEnabled  = "enabled"
)

// WebhookEndpointInput is a new endpoint.
type WebhookEndpointInput struct {
	// URL is one that the caller has checked.
	URL string
	// Events are types, prefixes such as order.*, or * for all, which is what nil means.
	Events             []string
	Format             string // empty means standard
	Description        string
	IncludeLicenseKeys bool
	// Secret is a fresh signing secret, whsec_….
	Secret string
}

// WebhookEndpointPatch is a JSON merge patch of an endpoint; null puts back a default.
type WebhookEndpointPatch struct {
	URL                Optional[string]   `json:"url"` // one that the caller has checked
	Events             Optional[[]string] `json:"events"`
	Format             Optional[string]   `json:"format"`
	Description        Optional[string]   `json:"description"`
	IncludeLicenseKeys Optional[bool]     `json:"include_license_keys"`
}

// WebhookEndpointView is an endpoint as the API shows it.
type WebhookEndpointView struct {
	ID                 string    `json:"id"`
	Test               bool      `json:"test"`
	URL                string    `json:"url"`
	Events             []string  `json:"events"`
	Format             string    `json:"format"`
	Description        string    `json:"description"`
	IncludeLicenseKeys bool      `json:"include_license_keys"`
	Status             string    `json:"status" enum:"enabled,disabled"`
	Secret             string    `json:"secret,omitempty" doc:"The signing secret; in the answer to the creation only."`
	CreatedAt          time.Time `json:"created_at"`
	UpdatedAt          time.Time `json:"updated_at"`
}

func (w *WebhookEndpoint) view() *WebhookEndpointView {
	return &WebhookEndpointView{
		ID: w.ID, Test: w.Test, URL: w.URL, Events: w.Events, Format: w.Format, Description: w.Description,
		IncludeLicenseKeys: w.IncludeLicenseKeys, Status: w.Status, CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt,
	}
}

// CreateWebhookEndpoint adds an endpoint, which is told of every event from now on that it is subscribed to. The view has the
// secret, which is stored sealed.
func (s *Store) CreateWebhookEndpoint(ctx context.Context, sc Scope, in WebhookEndpointInput) (*WebhookEndpointView, error) {
	w := &WebhookEndpoint{
		ID: newID("whe"), MerchantID: sc.MerchantID, Test: sc.Test, URL: in.URL, Events: in.Events, Format: in.Format,
		Description: in.Description, IncludeLicenseKeys: in.IncludeLicenseKeys, Status: endpointEnabled,
	}
	if w.Events == nil {
		w.Events = []string{"*"}
	}
	if w.Format == "" {
		w.Format = formatStandard
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	w.Secret = s.keys.Seal([]byte(in.Secret), w.ID)
	err := s.write(ctx, func(t *tx) error {
		// The merchant's lock makes counting and adding one step.
		if _, err := t.lockMerchant(sc.MerchantID); err != nil {
			return err
		}
		var n int64
		if err := endpoints(t.DB, sc).Model(&WebhookEndpoint{}).Count(&n).Error; err != nil {
			return err
		}
		if n >= maxEndpoints {
			return conflict("There are %d webhook endpoints already, which is as many as there may be.", maxEndpoints)
		}
		w.CreatedAt, w.UpdatedAt = t.now, t.now
		delete(t.endpoints, sc)
		return t.Create(w).Error
	})
	if err != nil {
		return nil, err
	}
	view := w.view()
	view.Secret = in.Secret
	return view, nil
}

func endpoints(db *gorm.DB, sc Scope) *gorm.DB {
	return db.Where("merchant_id = ? AND test = ? AND deleted_at IS NULL", sc.MerchantID, sc.Test)
}

// check finds everything that is wrong with an endpoint except its URL.
func (w *WebhookEndpoint) check() error {
	var bad invalids
	if w.URL == "" {
		bad.add("url", "must not be empty")
	}
	if w.Format != formatStandard {
		bad.add("format", "must be %s", formatStandard)
	}
	checkText(&bad, "description", w.Description, 500)
	switch n := len(w.Events); {
	case n == 0:
		bad.add("events", "must have at least one event type")
	case n > maxSubscriptions:
		bad.add("events", "may have at most %d event types", maxSubscriptions)
	}
	for i, pattern := range w.Events[:min(len(w.Events), maxSubscriptions)] {
		field := "events[" + itoa(i) + "]"
		if !subscribable(pattern) {
			bad.add(field, "must be *, an event type, a prefix of some such as order.*, or a custom type such as custom.* or custom.shipped")
		} else if slices.Contains(w.Events[:i], pattern) {
			bad.add(field, "is there twice")
		}
	}
	return bad.err()
}

var customType = regexp.MustCompile(`^custom(\.[a-z0-9][a-z0-9_-]*)+$`)

// eventType is the shape of every event type.
var eventType = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_-]+)+$`)

// maxEventType is the longest event type, in characters.
const maxEventType = 100

// subscribable reports whether a pattern can match an event that there will ever be.
func subscribable(pattern string) bool {
	if pattern == "*" || slices.Contains(EventTypes, pattern) {
		return true
	}
	if len(pattern) > maxEventType {
		return false
	}
	stem, ok := strings.CutSuffix(pattern, ".*")
	if !ok {
		return customType.MatchString(pattern)
	}
	return stem == "custom" || customType.MatchString(stem) ||
		slices.ContainsFunc(EventTypes, func(kind string) bool { return strings.HasPrefix(kind, stem+".") })
}

// WebhookEndpoint returns an endpoint.
func (s *Store) WebhookEndpoint(ctx context.Context, sc Scope, id string) (*WebhookEndpointView, error) {
	w, err := findEndpoint(s.read(ctx), sc, id)
	if err != nil {
		return nil, err
	}
	return w.view(), nil
}

func findEndpoint(db *gorm.DB, sc Scope, id string) (*WebhookEndpoint, error) {
	if !isID(id, "whe") {
		return nil, notFound("webhook endpoint")
	}
	var w WebhookEndpoint
	if err := endpoints(db, sc).Where("id = ?", id).Take(&w).Error; err != nil {
		return nil, orNotFound(err, "webhook endpoint")
	}
	return &w, nil
}

func (t *tx) lockEndpoint(sc Scope, id string) (*WebhookEndpoint, error) {
	return findEndpoint(t.s.dialect.lock(t.DB, ""), sc, id)
}

// WebhookEndpoints lists a merchant's endpoints in one mode, newest first.
func (s *Store) WebhookEndpoints(ctx context.Context, sc Scope, page Page) ([]*WebhookEndpointView, string, error) {
	rows, next, err := paginate(endpoints(s.read(ctx), sc), page, func(w *WebhookEndpoint) string { return w.ID })
	if err != nil {
		return nil, "", err
	}
	views := make([]*WebhookEndpointView, len(rows))
	for i := range rows {
		views[i] = rows[i].view()
	}
	return views, next, nil
}

// UpdateWebhookEndpoint changes an endpoint. What is under way goes to the new address; what it is subscribed to counts from now on.
func (s *Store) UpdateWebhookEndpoint(ctx context.Context, sc Scope, id string, patch WebhookEndpointPatch) (*WebhookEndpointView, error) {
	var w *WebhookEndpoint
	err := s.write(ctx, func(t *tx) error {
		var err error
		if w, err = t.lockEndpoint(sc, id); err != nil {
			return err
		}
		var bad invalids
		patch.URL.require(&w.URL, "url", &bad)
		patch.Events.apply(&w.Events, []string{"*"})
		patch.Format.apply(&w.Format, formatStandard)
		patch.Description.apply(&w.Description, "")
		patch.IncludeLicenseKeys.apply(&w.IncludeLicenseKeys, false)
		if err := bad.err(); err != nil {
			return err
		}
		if err := w.check(); err != nil {
			return err
		}
		w.UpdatedAt = t.now
		delete(t.endpoints, sc)
		return t.Model(w).Select("url", "events", "format", "description", "include_license_keys", "updated_at").Updates(w).Error
	})
	if err != nil {
		return nil, err
	}
	return w.view(), nil
}

// DeleteWebhookEndpoint deletes an endpoint and cancels what is still to be delivered to it. What a worker learns of an attempt that
// is under way is no longer kept.
func (s *Store) DeleteWebhookEndpoint(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(t *tx) error {
		w, err := t.lockEndpoint(sc, id)
		if err != nil {
			return err
		}
		if err := t.Model(w).Select("deleted_at", "updated_at").Updates(&WebhookEndpoint{DeletedAt: &t.now, UpdatedAt: t.now}).Error; err != nil {
			return err
		}
		delete(t.endpoints, sc)
		return t.cancelDeliveries(w)
	})
}

const (
	cancelBatch = 1000   // deliveries that one statement cancels
	cancelMost  = 20_000 // that one request cancels
)

// cancelDeliveries cancels an endpoint's pending deliveries with their jobs, through the unfinished jobs, which are few, rather than
// through all that was ever delivered. Rows that somebody else holds are skipped: everybody else locks the
// job before its delivery, and here they come in any order, so that waiting for them could end in a deadlock. What is left of a very long
// queue, which would take longer than a request may, fails unsent when its time comes, as what was skipped does (see Dispatch).
func (t *tx) cancelDeliveries(w *WebhookEndpoint) error {
	var found []struct{ DeliveryID, JobID string }
	if err := t.Raw(`SELECT d.id AS delivery_id, j.id AS job_id FROM jobs j JOIN deliveries d ON d.id = (j.args->>'delivery') AND d.job_id = j.id
		WHERE j.finished_at IS NULL AND d.endpoint_id = ? AND d.status = 'pending' LIMIT ?`+t.s.dialect.skipLocked(),
		w.ID, cancelMost).Scan(&found).Error; err != nil {
		return err
	}
	for batch := range slices.Chunk(found, cancelBatch) {
		deliveries, jobs := make([]string, len(batch)), make([]string, len(batch))
		for i, f := range batch {
			deliveries[i], jobs[i] = f.DeliveryID, f.JobID
		}
		if err := t.Exec(`UPDATE deliveries SET status = 'cancelled', finished_at = ? WHERE id IN ?`, t.now, deliveries).Error; err != nil {
			return err
		}
		if err := t.Exec(`UPDATE jobs SET state = 'cancelled', finished_at = ? WHERE id IN ?`, t.now, jobs).Error; err != nil {
			return err
		}
	}
	return nil
}

// SendTestEvent sends an event of type webhook_endpoint.test to one endpoint, whatever it is subscribed to, and returns the id of
// the delivery.
func (s *Store) SendTestEvent(ctx context.Context, sc Scope, id string) (deliveryID string, err error) {
	err = s.write(ctx, func(t *tx) error {
		w, err := t.lockEndpoint(sc, id)
		if err != nil {
			return err
		}
		if w.Status != endpointEnabled {
			return conflict("The webhook endpoint is %s; nothing is sent to it.", w.Status)
		}
		e, err := newEvent(t, sc, EventEndpointTest, map[string]any{"webhook_endpoint": map[string]any{"id": w.ID, "url": w.URL}})
		if err != nil {
			return err
		}
		t.events = append(t.events, *e)
		deliveryID = t.deliver(e, w)
		return nil
	})
	return deliveryID, err
}

// WebhookSecret opens an endpoint's signing secret, for the demo's own receiver.
func (s *Store) WebhookSecret(ctx context.Context, sc Scope, id string) (string, error) {
	w, err := findEndpoint(s.read(ctx), sc, id)
	if err != nil {
		return "", err
	}
	secret, err := s.keys.Open(w.Secret, w.ID)
	return string(secret), err
}
