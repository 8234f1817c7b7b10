package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/handlers/webhook"
)

// The bounds of what the demo's receiver remembers.
const (
	receivedKept  = 200
	receivedShown = 32 << 10
	liveSeconds   = 3
)

// received is one delivery to the demo's receiver.
type received struct {
	At       time.Time
	ID, Type string
	Attempt  int // counts the deliveries of this id
	Genuine  bool
	Problem  string // why it is not genuine
	Status   int    // what was answered
	Size     int
	Body     string
}

// receiver is the demo merchant's own server: it checks signatures as a merchant should, and remembers the latest deliveries.
type receiver struct {
	mu     sync.Mutex
	latest []received // oldest first, at most receivedKept
}

func (r *receiver) add(d received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range slices.Backward(r.latest) {
		if r.latest[i].ID == d.ID && d.ID != "" {
			d.Attempt = r.latest[i].Attempt
			break
		}
	}
	d.Attempt++
	if len(r.latest) == receivedKept {
		r.latest = slices.Delete(r.latest, 0, 1)
	}
	r.latest = append(r.latest, d)
}

// list returns the deliveries, newest first.
func (r *receiver) list() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.latest)
	slices.Reverse(out)
	return out
}

// receiveWebhook takes a delivery. One that does not verify is shown as well, and refused.
func (s *Server) receiveWebhook(c *fiber.Ctx) error {
	body := c.Body()
	d := received{At: time.Now(), ID: c.Get(webhook.HeaderID), Size: len(body), Body: pretty(body), Status: fiber.StatusNoContent}
	d.Type = typeOf(body)
	if err := s.verifyDemo(c, body); err != nil {
		d.Problem, d.Status = err.Error(), fiber.StatusUnauthorized
	}
	d.Genuine = d.Problem == ""
	s.receiver.add(d)
	return c.SendStatus(d.Status)
}

var errNoSecret = errors.New("the receiver does not know its secret")

func (s *Server) verifyDemo(c *fiber.Ctx, body []byte) error {
	if s.DemoSecret == nil {
		return errNoSecret
	}
	secret, err := s.DemoSecret(c.UserContext())
	if err != nil {
		s.log.Warn("the demo's webhook secret is not known", "error", logged(err))
		return errNoSecret
	}
	header := http.Header{}
	for _, name := range []string{webhook.HeaderID, webhook.HeaderTimestamp, webhook.HeaderSignature} {
		header[name] = headerValues(c, name)
	}
	return webhook.Verify(secret, header, body, time.Now(), webhook.DefaultTolerance)
}

// receiverPage shows the latest deliveries, newest first; with ?live=1 it loads itself again by and by.
func (s *Server) receiverPage(c *fiber.Ctx) error {
	live := c.Query("live") == "1"
	v := s.operatorView(c, "Webhook receiver", accountOf(c), struct {
		URL        string
		Live       bool
		Every      int
		Deliveries []received
	}{s.public + "/demo/webhooks", live, liveSeconds, s.receiver.list()})
	if live {
		v.Refresh = liveSeconds
	}
	return s.show(c, fiber.StatusOK, "demo_webhooks", v)
}

func typeOf(body []byte) string {
	var event struct {
		Type  string `json:"type"`
		Event string `json:"event"` // the member's name in the Noventiq format
	}
	if json.Unmarshal(body, &event) != nil || event.Type+event.Event == "" {
		return "not an event"
	}
	if event.Type == "" {
		event.Type = event.Event
	}
	return event.Type
}

// pretty is a body as people read it: JSON indented, anything else as the text that it is, and neither without end.
func pretty(body []byte) string {
	var out bytes.Buffer
	text := string(body)
	if json.Indent(&out, body, "", "  ") == nil {
		text = out.String()
	}
	text = strings.ToValidUTF8(text, "�")
	if len(text) > receivedShown {
		cut := receivedShown
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "\n…"
	}
	return text
}
