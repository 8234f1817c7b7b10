package api

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"

	"github.com/purser-dev/purser/models"
)

// queueScreensPath is where Asynqmon is mounted.
const queueScreensPath = "/asynqmon"

// queueScreens is Asynqmon, which by itself has no sign-in, knows no roles and believes every request.
type queueScreens struct {
	full, readOnly http.Handler // for admins, and for viewers: the latter's screens have no buttons
	inspector      *asynq.Inspector
}

// sharedRedis lets Asynqmon use the connections that we have already, and that we close.
type sharedRedis struct{ client redis.UniversalClient }

// MakeRedisClient implements asynq.RedisConnOpt.
func (r sharedRedis) MakeRedisClient() any { return r.client }

func newQueueScreens(client redis.UniversalClient) *queueScreens {
	options := asynqmon.Options{RootPath: queueScreensPath, RedisConnOpt: sharedRedis{client}}
	q := &queueScreens{full: asynqmon.New(options), inspector: asynq.NewInspectorFromRedisClient(client)}
	options.ReadOnly = true
	q.readOnly = asynqmon.New(options)
	return q
}

var errQueueDown = newProblem(codeUnavailable, "The queue (Redis) does not answer. Orders are still taken: the work waits in the database and runs when the queue is back.")

// asynqmonPage answers everything below /asynqmon. Its guard has seen to who asks.
func (s *Server) asynqmonPage(c *fiber.Ctx) error {
	r, err := s.netRequest(c)
	if err != nil {
		return err
	}
	isStatic := strings.HasPrefix(r.URL.Path, queueScreensPath+"/static/")
	if s.screens == nil || (!isStatic && !s.queueAnswers(c.UserContext())) {
		return errQueueDown
	}
	if run, ok := parseRun(r); ok {
		handled, err := s.runTasks(c, run, r)
		if handled || err != nil {
			return err
		}
	}
	h := s.screens.full
	if accountOf(c).Role != models.RoleAdmin {
		h = s.screens.readOnly
	}
	a := s.ask(h, r)
	if a.refused(); a.status == http.StatusInternalServerError && reads(c) && s.dropGhosts(c.UserContext()) {
		a = s.ask(h, r)
		a.refused()
	}
	return s.relay(c, a, isStatic)
}

// netRequest makes the request that Asynqmon understands. Fiber's adaptor would answer by itself, and we want to look at the
// answer first.
func (s *Server) netRequest(c *fiber.Ctx) (*http.Request, error) {
	u, err := url.ParseRequestURI(string(c.Request().RequestURI()))
	if err != nil {
		return nil, newProblem(codeMalformed, "")
	}
	body := c.Body()
	r := &http.Request{
		Method: c.Method(), URL: u, Host: u.Host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	return r.WithContext(c.UserContext()), nil
}

// netAnswer is an answer of net/http, held until it is whole.
type netAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *netAnswer) Header() http.Header { return a.header }

// Write implements http.ResponseWriter.
func (a *netAnswer) Write(b []byte) (int, error) {
	if a.WriteHeader(http.StatusOK); a.header.Get(fiber.HeaderContentType) == "" {
		a.header.Set(fiber.HeaderContentType, http.DetectContentType(b))
	}
	return a.body.Write(b)
}

// WriteHeader implements http.ResponseWriter: the first status is the one.
func (a *netAnswer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// ask lets h answer, and turns a panic into a 500.
func (s *Server) ask(h http.Handler, r *http.Request) (a *netAnswer) {
	a = &netAnswer{header: http.Header{}}
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("Asynqmon panicked", "error", panicText(v), "stack", stack())
			a = &netAnswer{header: http.Header{}, status: http.StatusInternalServerError}
		}
		if a.status == 0 {
			a.status = http.StatusOK
		}
	}()
	h.ServeHTTP(a, r)
	return a
}

// screenTypes are content types that Asynqmon guesses wrongly from the first bytes, which nosniff would make final.
var screenTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".map": fiber.MIMEApplicationJSON, ".json": fiber.MIMEApplicationJSON, ".svg": "image/svg+xml",
}

// relay hands Asynqmon's answer on, with our headers.
func (s *Server) relay(c *fiber.Ctx, a *netAnswer, isStatic bool) error {
	contentType, body := a.header.Get(fiber.HeaderContentType), a.body.Bytes()
	if location := a.header.Get(fiber.HeaderLocation); location != "" {
		c.Set(fiber.HeaderLocation, location)
	}
	switch known := screenTypes[path.Ext(c.Path())]; {
	case strings.HasPrefix(contentType, "text/html"):
		var policy string
		body, policy = tameIndex(body)
		pageHeaders(c, policy)
	case known != "":
		contentType = known
	case forPrograms(c) && a.status == http.StatusOK:
		contentType = fiber.MIMEApplicationJSON
	}
	if isStatic && a.status == http.StatusOK {
		c.Set(fiber.HeaderCacheControl, "private, max-age=31536000, immutable") // the names follow from the content
	}
	if contentType != "" {
		c.Set(fiber.HeaderContentType, contentType)
	}
	if a.status >= http.StatusInternalServerError {
		s.log.Warn("Asynqmon failed", "status", a.status, "error", strings.TrimSpace(a.body.String()))
	}
	return c.Status(a.status).Send(body)
}

// screenRefusals are the texts of errors that Asynqmon calls its own and that are about what it was asked for.
var screenRefusals = []struct {
	text   string
	status int
}{
	{"not found", http.StatusNotFound}, {"does not exist", http.StatusNotFound}, {"is already", http.StatusConflict}, {"is not paused", http.StatusConflict}, {"is not empty", http.StatusConflict},
	{"task in active state", http.StatusConflict},
	{"unsupported protocol scheme", http.StatusNotFound}, // metrics of a Prometheus that it was not told of
}

// refused corrects the status of an answer that only looks like a failure.
func (a *netAnswer) refused() {
	if a.status != http.StatusInternalServerError {
		return
	}
	for _, r := range screenRefusals {
		if bytes.Contains(a.body.Bytes(), []byte(r.text)) {
			a.status = r.status
			return
		}
	}
}

var (
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	// needlessLink is a stylesheet from another host, a font service that Asynqmon does well without, or the manifest, which
	// browsers ask for without the session's cookie.
	needlessLink = regexp.MustCompile(`<link[^>]*(?:href="https?://|rel="manifest")[^>]*>`)
)

// tameIndex returns Asynqmon's page without what it would load from elsewhere, and the policy under which it works: its own
// scripts, by hash where they are inline, and the styles that its script makes, which carry the nonce that a meta element names
// (the convention of its component library, JSS).
func tameIndex(page []byte) ([]byte, string) {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	nonce := base64.StdEncoding.EncodeToString(b[:])
	page = needlessLink.ReplaceAll(page, nil)
	page = bytes.Replace(page, []byte("<head>"), []byte(`<head><meta property="csp-nonce" content="`+nonce+`">`), 1)
	var scripts strings.Builder
	scripts.WriteString("'self'")
	for _, m := range inlineScript.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(m[1])
		scripts.WriteString(" 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
	}
	return page, "default-src 'none'; script-src " + scripts.String() + "; style-src 'self' 'nonce-" + nonce + "'; img-src 'self' data:; " +
		"connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
}

// queueError says in our terms what the inspector refused.
func queueError(err error) error {
	switch {
	case errors.Is(err, asynq.ErrQueueNotFound):
		return newProblem(codeNotFound, "There is no such queue.")
	case errors.Is(err, asynq.ErrTaskNotFound):
		return newProblem(codeNotFound, "The task is not in the queue any more.")
	}
	return err
}
