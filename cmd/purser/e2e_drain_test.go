package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
)

// busy is an installation with a request half sent and an email half sent.
type busy struct {
	*site
	shop  *shop
	mails *mailServer
	door  *mailDoor
	// api and worker are the processes that have them in hand, which may be the same; procs are all there are.
	api, worker *proc
	procs       []*proc
	startAgain  func(t *testing.T)
}

// eachProfile runs fn on an embedded installation and on one of separate roles.
func eachProfile(t *testing.T, fn func(t *testing.T, b *busy), env ...string) {
	t.Helper()
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		b := &busy{mails: &mailServer{}}
		b.door = b.mails.open(t)
		b.site = newSite(t, append(env, "PURSER_SMTP_URL="+b.door.url, "PURSER_ALLOWED_PRIVATE_NETS=127.0.0.0/8")...)
		b.env = append(b.env, "PURSER_DATA_DIR="+filepath.Join(b.dir, "data"))
		b.startAgain = func(t *testing.T) {
			p := b.start(t, []string{"run"})
			b.api, b.worker, b.procs = p, p, []*proc{p}
		}
		b.begin(t)
		fn(t, b)
	})
	t.Run("separate roles", func(t *testing.T) {
		t.Parallel()
		b := &busy{mails: &mailServer{}}
		b.door = b.mails.open(t)
		b.site, _ = productionSite(t, append(env, "PURSER_SMTP_URL="+b.door.url)...)
		b.startAgain = func(t *testing.T) {
			b.api, b.worker = b.start(t, []string{"api"}), b.start(t, []string{"worker"})
			b.procs = []*proc{b.api, b.worker, b.start(t, []string{"scheduler"})}
		}
		b.begin(t)
		fn(t, b)
	})
}

func (b *busy) begin(t *testing.T) {
	t.Helper()
	b.startAgain(t)
	b.shop = openShop(t, b.site, b.api.serving(t))
	var made models.ProductView
	b.shop.must(t, http.MethodPost, "/v1/products", map[string]any{
		"sku": "viewer", "name": "Viewer", "license_method": models.MethodTemplate, "prices": []map[string]any{{"currency": "EUR", "amount": 1900}},
	}, &made, http.StatusCreated)
	for _, p := range b.procs {
		p.serving(t)
	}
}

// again starts everything once more.
func (b *busy) again(t *testing.T) {
	t.Helper()
	b.startAgain(t)
	b.shop.base = b.api.serving(t)
}

// paidOrder makes an order and pays it.
func (b *busy) paidOrder(t *testing.T, email string) string {
	t.Helper()
	o, err := b.shop.order(email, line{"viewer", 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.shop.pay(o.ID, cardGood); err != nil {
		t.Fatal(err)
	}
	return o.ID
}

func (b *busy) delivered(t *testing.T, id string) {
	t.Helper()
	eventually(t, patience, func() bool {
		o, err := b.shop.get(id)
		if err != nil {
			t.Fatal(err)
		}
		return o.FulfillmentStatus == models.Delivered
	}, func() string { return "order " + id + " is delivered" })
}

// emailJobs counts the email jobs in a state.
func (b *busy) emailJobs(t *testing.T, state models.JobState) int {
	t.Helper()
	return strings.Count(b.does(t, "jobs", "list", "--kind", "email.send", "--state", string(state)), " email.send ")
}

// headStart is how much of a request's body Fiber's server reads before it begins to answer.
const headStart = 8 << 10

// halfRequest is a checkout request of which the server has the beginning.
type halfRequest struct {
	conn net.Conn
	rest []byte
}

func (b *busy) halfRequest(t *testing.T, email string) *halfRequest {
	t.Helper()
	in := checkout(email, line{"viewer", 1})
	notes := map[string]string{}
	for i := range 40 {
		notes[fmt.Sprintf("note-%d", i)] = strings.Repeat("a long story ", 35)
	}
	in["metadata"] = notes
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.shop.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	half := len(body) / 2
	if half <= headStart {
		t.Fatalf("%d bytes are too few to be begun with", half)
	}
	fmt.Fprintf(conn, "POST /v1/orders HTTP/1.1\r\nHost: purser.test\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		b.shop.key, len(body), body[:half])
	eventually(t, patience, func() bool { return b.api.metric(t, "purser_http_requests_in_flight") == 1 }, func() string { return "the request is in flight" })
	return &halfRequest{conn, body[half:]}
}

// finish sends the rest and returns the order of the answer.
func (h *halfRequest) finish(t *testing.T) *models.OrderView {
	t.Helper()
	if _, err := h.conn.Write(h.rest); err != nil {
		t.Fatal(err)
	}
	_ = h.conn.SetReadDeadline(time.Now().Add(patience))
	answer, err := http.ReadResponse(bufio.NewReader(h.conn), nil)
	if err != nil {
		t.Fatalf("the request was cut off: %v", err)
	}
	defer answer.Body.Close()
	var o models.OrderView
	if err := json.NewDecoder(answer.Body).Decode(&o); err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatalf("%s, %v", answer.Status, err)
	}
	return &o
}

// TestStopCutsNothingOff stops an installation, with two signals at once as wrappers do, while a customer is ordering and while an email is
// being sent.
func TestStopCutsNothingOff(t *testing.T) {
	eachProfile(t, func(t *testing.T, b *busy) {
		b.door.hold()
		paid := b.paidOrder(t, "first@"+customerDomain)
		eventually(t, patience, func() bool { return b.door.held() >= 2 }, func() string { return "both emails of the order are in hand" })
		request := b.halfRequest(t, "second@"+customerDomain)
		for _, p := range b.procs {
			p.terminate()
			_ = p.cmd.Process.Signal(syscall.SIGINT) // of another kind, or the kernel would make one of the two
		}
		for _, p := range b.procs {
			p.logged(t, "stopping")
		}
		eventually(t, patience, func() bool {
			conn, err := net.Dial("tcp", strings.TrimPrefix(b.shop.base, "http://"))
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		}, func() string { return "nobody new is let in" })
		if !b.api.running() || !b.worker.running() {
			t.Fatal("the stop does not wait for what is in hand")
		}
		ordered := request.finish(t)
		b.door.letGo()
		for _, p := range b.procs {
			if code := p.exit(t, patience); code != exitOK {
				t.Errorf("%s: exit code %d", p.name, code)
			}
		}
		if done := b.emailJobs(t, models.JobDone); done != 2 {
			t.Errorf("%d email jobs are done, want 2: what was sent must be known as sent", done)
		}
		b.again(t)
		b.delivered(t, paid)
		if o, err := b.shop.get(ordered.ID); err != nil || o.Status != models.OrderNotPaid {
			t.Errorf("the order that was made while the program stopped: %+v, %v", o, err)
		}
		b.delivered(t, b.paidOrder(t, "third@"+customerDomain))
		for _, p := range b.procs {
			p.stop(t)
		}
		if copies := len(b.mails.copies()); copies != b.mails.distinct() {
			t.Errorf("%d copies of %d emails were sent", copies, b.mails.distinct())
		}
		b.must(t, "doctor")
	}, "PURSER_WORKER_CONCURRENCY=19", "PURSER_SHUTDOWN_TIMEOUT=60s")
}

// TestStopGivesWorkBack stops an installation with emails in hand that do not get done within the timeout.
func TestStopGivesWorkBack(t *testing.T) {
	eachProfile(t, func(t *testing.T, b *busy) {
		b.door.hold()
		paid := b.paidOrder(t, "first@"+customerDomain)
		eventually(t, patience, func() bool { return b.door.held() >= 2 }, func() string { return "both emails of the order are in hand" })
		for _, p := range b.procs {
			p.terminate()
		}
		for _, p := range b.procs {
			if code := p.exit(t, patience); code != exitOK {
				t.Errorf("%s: exit code %d", p.name, code)
			}
		}
		if due, running := b.emailJobs(t, models.JobDue), b.emailJobs(t, models.JobRunning); due != 2 || running != 0 {
			t.Errorf("%d email jobs are due and %d running, want 2 and none", due, running)
		}
		b.door.letGo()
		b.again(t)
		b.delivered(t, paid)
		eventually(t, patience, func() bool { return b.emailJobs(t, models.JobDone) == 2 }, func() string { return "both emails are done" })
		if copies := len(b.mails.copies()); copies != 4 || b.mails.distinct() != 2 {
			t.Errorf("%d copies of %d emails, want 4 of 2", copies, b.mails.distinct())
		}
		for _, p := range b.procs {
			p.stop(t)
		}
		b.must(t, "doctor")
	}, "PURSER_WORKER_CONCURRENCY=19", "PURSER_SHUTDOWN_TIMEOUT=2s")
}
