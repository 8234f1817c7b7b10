package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/models"
)

// The bounds of one request. The database's share of it ends with requestTimeout.
const (
	requestTimeout = 10 * time.Second
	readTimeout    = 60 * time.Second // from the first byte to the last of a request's body
	writeTimeout   = 60 * time.Second
	idleTimeout    = 75 * time.Second // longer than the usual 60 s of load balancers, which should be the ones to hang up
	maxHeaderBytes = 16 << 10
	// lameDuck is how long a server that is told to stop goes on taking requests, so that clients move their connections
	// elsewhere before these are closed.
	lameDuck = 200 * time.Millisecond
)

// Config is what a Server needs.
type Config struct {
	Store *models.Store
	// Redis is what the queue runs on. The API answers without it; nil leaves it out of /readyz.
	Redis asynq.RedisConnOpt
	// Gateways are the payment gateways that need no merchant's configuration, by name.
	Gateways map[string]payment.Gateway
	// OpenGateway makes a gateway of a merchant's configuration; payment.Open when nil.
	OpenGateway func(gateway string, config json.RawMessage) (payment.Gateway, error)
	// Webhooks checks the addresses of webhook endpoints.
	Webhooks *webhook.Sender
	// PublicURL is the base of every link, without a trailing slash.
	PublicURL string
	Version   string
	// TrustedProxies are the networks whose X-Forwarded-… headers are believed.
	TrustedProxies []netip.Prefix
	// Demo and Mailbox say whether the demo's and the built-in mailbox's pages exist.
	Demo, Mailbox bool
	// DemoSecret is the secret of the webhook endpoint that delivers to the demo's own receiver; needed with Demo only.
	DemoSecret func(context.Context) (string, error)
	// Tracer makes the spans of requests and of calls to gateways; nil for none.
	Tracer trace.Tracer
	// Metrics gets the HTTP metrics; nil for none.
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// Server answers HTTP requests.
type Server struct {
	Config
	staffRoom
	store      *models.Store
	gateways   payment.Gateways
	log        *slog.Logger
	public     string
	app        *fiber.App
	api        huma.API
	router     *guarded
	metrics    *metrics
	wrongKeys  *attempts // by the address that they came from
	allowances allowances
	redis      redis.UniversalClient  // nil without Redis
	document   []byte                 // openapi.json
	docs       func() ([]byte, error) // the page at /docs, rendered when first asked for

	base     context.Context // ends when the shutdown has waited long enough
	cut      context.CancelFunc
	draining atomic.Bool
	closing  sync.Once
}

// New makes a server that does not listen yet.
func New(c Config) (*Server, error) {
	if c.Store == nil {
		return nil, errors.New("api: Store is nil")
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("api: PublicURL must be an http or https address")
	}
	s := &Server{Config: c, store: c.Store, log: c.Log, public: strings.TrimRight(c.PublicURL, "/"), wrongKeys: newAttempts(wrongKeys, wrongKeyPause, time.Now)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.gateways = payment.Gateways{Own: c.Gateways, Open: c.OpenGateway, Config: func(ctx context.Context, id string) (string, json.RawMessage, error) {
		gateway, _, config, err := c.Store.PaymentMethodConfig(ctx, id)
		return gateway, config, err
	}}
	if s.metrics, err = newMetrics(c.Metrics); err != nil {
		return nil, err
	}
	if c.Redis != nil {
		client, ok := c.Redis.MakeRedisClient().(redis.UniversalClient)
		if !ok {
			return nil, errors.New("api: Redis makes no client")
		}
		s.redis = client
	}
	s.base, s.cut = context.WithCancel(context.Background())
	if s.staffRoom, err = newStaffRoom(s.public, s.redis); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.app = fiber.New(fiber.Config{
		Immutable:     true, // values outlive the request: they reach logs and the database
		CaseSensitive: true,
		StrictRouting: true,
		// The body is read by readBody, after the key was checked and with the route's own limit.
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		BodyLimit:                    largeBody,
		ReadBufferSize:               maxHeaderBytes,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		DisableStartupMessage:        true,
		EnableTrustedProxyCheck:      true, // with no proxy in its list, Fiber believes none; see clientAddr
		ErrorHandler: func(c *fiber.Ctx, err error) error { // of requests that could not even be read
			defer func() { s.headers(c, requestOf(c)) }()
			return s.sendProblem(c, err)
		},
	})
	s.app.Server().CloseOnShutdown = true
	s.app.Server().SecureErrorLogMessage = true // its errors would quote headers, keys and all
	s.app.Server().Handler = s.knownMethods(s.app.Handler())
	s.app.Use(s.admit)
	if err := s.mount(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// App returns the Fiber application, for tests.
func (s *Server) App() *fiber.App { return s.app }

// Serve answers requests on ln until Shutdown, which makes it return nil.
func (s *Server) Serve(ln net.Listener) error {
	return s.app.Listener(&drainingListener{Listener: ln})
}

// Drain makes /readyz answer 503, so that load balancers turn away, and ends each connection with its next answer. Requests are still
// taken, on new connections too.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown stops taking requests and waits for those that were taken. When ctx ends first, their contexts are cancelled, so
// that they roll back, and ctx's error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	defer s.cut()
	if s.app.Server().GetOpenConnectionsCount() > 0 {
		select {
		case <-time.After(lameDuck):
		case <-ctx.Done():
		}
	}
	err := s.app.ShutdownWithContext(ctx)
	if err != nil {
		s.cut()
		// Whoever honours the cancelled context is done in a moment.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.app.ShutdownWithContext(last)
	}
	return errors.Join(err, s.close())
}

func (s *Server) close() (err error) {
	s.closing.Do(func() {
		s.cut()
		if s.redis != nil {
			err = s.redis.Close()
		}
	})
	return err
}
