package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/purser-dev/purser/api"
	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/scheduler"
)

// mailTimeout bounds the sending of one email.
const mailTimeout = 20 * time.Second

// process is one running purser: what its roles share. Its fields are set by the parts, in the order in which they start.
type process struct {
	Settings
	program *Program
	roles   role
	demo    bool
	log     *slog.Logger

	metrics   *prometheus.Registry
	health    *health
	tracing   trace.TracerProvider // nil when there are no traces, as is tracer
	tracer    trace.Tracer
	store     *models.Store
	redis     jobs.Redis
	client    redis.UniversalClient
	publisher *jobs.Publisher
	webhooks  *webhook.Sender
	gateways  map[string]payment.Gateway // that need no merchant's configuration, by name
	listener  net.Listener
	ops       *opsServer
	api       *api.Server
	seeded    *demoSeed
}

// serve runs the given roles until the program is told to stop.
func (p *Program) serve(cmd *cobra.Command, roles role, demo bool) error {
	s, log, err := p.configure(cmd, roles, demo)
	if err != nil {
		return err
	}
	if err := checkStart(s, cmd.Name(), roles, demo); err != nil {
		return err
	}
	tuneMemory(p.Env, s.EmbeddedDatabase())
	pr := &process{Settings: s, program: p, roles: roles, demo: demo, log: log, metrics: newMetrics(p.Version)}
	l := &lifecycle{drainTimeout: s.ShutdownTimeout, log: log, started: pr.announce, draining: pr.drain}
	if roles&roleAPI != 0 {
		l.lameDuck = s.DrainDelay
	}
	l.foundations = append(l.foundations, pr.tracingPart(cmd.Name()))
	if s.EmbeddedDatabase() {
		l.foundations = append(l.foundations, pr.dataDirPart())
	}
	if roles&roleAPI != 0 {
		// Bound first, so that the links in everything that follows have the right port.
		l.foundations = append(l.foundations, pr.listenPart())
	}
	if s.EmbeddedRedis() {
		l.foundations = append(l.foundations, pr.embeddedRedisPart())
	}
	l.foundations = append(l.foundations, pr.storePart(), pr.redisPart(), pr.leavesPart(), pr.opsPart())
	if roles&roleAPI != 0 {
		l.roles = append(l.roles, pr.apiPart())
	}
	if roles&roleWorker != 0 {
		l.roles = append(l.roles, pr.workerPart())
	}
	if roles&roleScheduler != 0 {
		l.roles = append(l.roles, pr.schedulerPart())
	}
	return l.run(cmd.Context())
}

// announce logs what serves where, and prints the banner of a demo.
func (pr *process) announce() {
	told := []any{"version", pr.program.Version.Version, "ops_address", pr.ops.Addr().String()}
	if pr.roles&roleAPI != 0 {
		told = append(told, "address", pr.listener.Addr().String(), "public_url", pr.PublicURL)
	}
	pr.log.Info("started", told...)
	if pr.demo {
		pr.seeded.banner(pr.program.Stdout, pr.PublicURL, "http://"+pr.ops.Addr().String(), !pr.SMTPURL.IsSet())
	}
	// What starting took: a process at rest makes so little garbage that it would keep that for minutes.
	debug.FreeOSMemory()
}

// drain turns load balancers away. A start that failed may not have come as far as having a health to ask for.
func (pr *process) drain() {
	if pr.health != nil {
		pr.health.drain()
	}
	if pr.api != nil {
		pr.api.Drain()
	}
}

func (pr *process) dataDirPart() part {
	var lock *dataDirLock
	return part{
		name: "data directory",
		start: func(context.Context, func(error)) (err error) {
			if err := os.MkdirAll(pr.DataDir, 0o700); err != nil {
				return err
			}
			lock, err = lockDataDir(pr.DataDir)
			return err
		},
		stop: func(context.Context) error { return lock.Close() },
	}
}

func (pr *process) listenPart() part {
	return part{
		name: "listener",
		start: func(ctx context.Context, _ func(error)) (err error) {
			var config net.ListenConfig
			pr.listener, err = config.Listen(ctx, "tcp", pr.Listen)
			if err == nil && pr.PublicURLDerived {
				pr.PublicURL = pr.PublicURLAt(pr.listener.Addr())
			}
			return err
		},
		stop: func(context.Context) error {
			if err := pr.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		},
	}
}

func (pr *process) embeddedRedisPart() part {
	var r *embeddedRedis
	return part{
		name: "in-process Redis",
		start: func(context.Context, func(error)) (err error) {
			if r, err = startEmbeddedRedis(); err != nil {
				return err
			}
			pr.RedisURL = r.URL
			return nil
		},
		stop: func(context.Context) error { r.Close(); return nil },
	}
}

// storePart opens the database. `run` migrates by itself; the single roles refuse a schema that is not theirs.
func (pr *process) storePart() part {
	return part{
		name: "database",
		start: func(ctx context.Context, _ func(error)) (err error) {
			if pr.store, err = openStore(ctx, pr.Settings, orNew, pr.tracing, pr.log); err != nil {
				return err
			}
			if err = checkStore(ctx, pr.store, pr.roles == roleRun); err == nil && pr.EmbeddedDatabase() {
				// The data directory's lock is ours, so nobody holds a claim: the relay need not wait for leases before it fills the
				// queue again from the promises. Beside PostgreSQL others may be at work.
				err = pr.store.ResetAlarms(ctx)
			}
			if err == nil && pr.demo {
				pr.seeded, err = seedDemo(ctx, pr.store, pr.DataDir, pr.PublicURL)
			}
			if err != nil {
				return errors.Join(err, pr.store.Close())
			}
			measureEvents(pr.metrics, pr.store)
			measurePools(pr.metrics, pr.store)
			return nil
		},
		stop: func(context.Context) error { return pr.store.Close() },
	}
}

// redisPart does not wait for Redis: the API takes orders without it.
func (pr *process) redisPart() part {
	return part{
		name: "Redis",
		start: func(ctx context.Context, _ func(error)) (err error) {
			if pr.redis, err = jobs.ParseRedisURL(pr.RedisURL.Reveal()); err != nil {
				return fmt.Errorf("PURSER_REDIS_URL: %w", err)
			}
			pr.client = pr.redis.Client()
			jobs.WarnAboutPolicy(ctx, pr.client, pr.log)
			pr.publisher = jobs.NewPublisher(pr.client, pr.log)
			pr.store.OnCommit(pr.publisher.Publish)
			measurePublisher(pr.metrics, pr.publisher)
			pr.metrics.MustRegister(jobs.NewCollector(pr.client, pr.log))
			return nil
		},
		stop: func(context.Context) error {
			pr.publisher.Close()
			return pr.client.Close()
		},
	}
}

// leavesPart makes what talks to the outside.
func (pr *process) leavesPart() part {
	return part{
		name: "clients",
		start: func(context.Context, func(error)) error {
			pr.webhooks = webhook.NewSender(webhook.Config{
				UserAgent: "Purser/" + pr.program.Version.Version, AllowedPrivateNets: pr.AllowedPrivateNets,
			})
			test, err := payment.NewTest(payment.TestConfig{
				PageURL: pr.PublicURL + "/gateway/test", CallbackSecret: pr.store.Keys().GatewaySecret("test"),
			})
			if err != nil {
				return err
			}
			pr.gateways = map[string]payment.Gateway{test.Name(): test}
			return nil
		},
		stop: func(context.Context) error { pr.webhooks.Close(); return nil },
	}
}

func (pr *process) opsPart() part {
	return part{
		name: "operators' listener",
		start: func(ctx context.Context, fail func(error)) error {
			pr.health = newHealth(pr.log,
				check{"database", true, pr.store.Ping},
				check{"schema", true, pr.store.SchemaServes},
				// The API takes orders while Redis is away, so it stays ready then.
				check{"redis", pr.roles&roleAPI == 0, func(ctx context.Context) error { return pr.client.Ping(ctx).Err() }},
			)
			measureHealth(pr.metrics, pr.health)
			listener, err := listenOps(ctx, pr.OpsListen, pr.log)
			if err != nil {
				return err
			}
			pr.ops = startOps(listener, pr.health, pr.metrics, pr.log, fail)
			return nil
		},
		stop: func(ctx context.Context) error { return pr.ops.Shutdown(ctx) },
	}
}

func (pr *process) apiPart() part {
	served := make(chan struct{})
	return part{
		name: "api",
		start: func(_ context.Context, fail func(error)) (err error) {
			pr.api, err = api.New(api.Config{
				Store: pr.store, Redis: pr.redis, Gateways: pr.gateways, Webhooks: pr.webhooks, PublicURL: pr.PublicURL,
				Version: pr.program.Version.Version, TrustedProxies: pr.TrustedProxies, Demo: pr.demo, Mailbox: !pr.SMTPURL.IsSet(),
				DemoSecret: func(ctx context.Context) (string, error) { return pr.seeded.webhookSecret(ctx, pr.store) },
				Log:        pr.log, Metrics: pr.metrics, Tracer: pr.tracer,
			})
			if err != nil {
				return err
			}
			go func() {
				defer close(served)
				if err := pr.api.Serve(pr.listener); err != nil {
					fail(fmt.Errorf("api: %w", err))
				}
			}()
			return nil
		},
		stop: func(ctx context.Context) error {
			err := pr.api.Shutdown(ctx)
			<-served
			return err
		},
	}
}

func (pr *process) workerPart() part {
	var worker *handlers.Worker
	var sender mail.Sender
	return part{
		name: "worker",
		start: func(context.Context, func(error)) (err error) {
			if sender, err = pr.mailSender(); err != nil {
				return err
			}
			metrics := measureWorker(pr.metrics)
			queues := map[jobs.Queue]int{}
			for _, q := range pr.Queues {
				queues[jobs.Queue(q.Name)] = q.Weight
			}
			worker, err = handlers.NewWorker(handlers.Config{
				Store: pr.store, Redis: pr.redis, Concurrency: pr.WorkerConcurrency, Queues: queues, Mail: sender, MailFrom: pr.MailFrom.Address,
				Webhooks: pr.webhooks, Gateways: pr.gateways, PublicURL: pr.PublicURL, ShutdownTimeout: pr.ShutdownTimeout, Log: pr.log,
				Observe: metrics.attempt, ObserveWait: metrics.wait, ObserveWebhook: metrics.webhook, Tracer: pr.tracer,
			})
			if err != nil {
				return err
			}
			return worker.Start()
		},
		stop: func(context.Context) error {
			worker.Shutdown()
			if connected, ok := sender.(io.Closer); ok {
				return connected.Close()
			}
			return nil
		},
	}
}

// mailSender is the SMTP server of the settings, or the built-in mailbox.
func (pr *process) mailSender() (mail.Sender, error) {
	if !pr.SMTPURL.IsSet() {
		return mailbox{pr.store}, nil
	}
	smtp, err := mail.NewSMTP(pr.SMTPURL.Reveal(), mailTimeout)
	if err != nil {
		return nil, fmt.Errorf("PURSER_SMTP_URL: %w", err)
	}
	return smtp, nil
}

func (pr *process) schedulerPart() part {
	var s *scheduler.Scheduler
	return part{
		name: "scheduler",
		start: func(context.Context, func(error)) error {
			s = scheduler.New(scheduler.Config{Store: pr.store, Redis: pr.redis, Log: pr.log})
			measureScheduler(pr.metrics, s, pr.store, pr.log)
			return s.Start()
		},
		stop: func(context.Context) error { s.Shutdown(); return nil },
	}
}
