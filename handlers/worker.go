package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// Config is what a Worker needs.
type Config struct {
	Store *models.Store
	Redis jobs.Redis
	// Concurrency is how many jobs are worked on at once, divided among the queues by their weights; those that wait for others come on
	// top, see jobs.Queues.
	Concurrency int
	// Queues are the queues to serve with their weights; empty means all of jobs.Queues.
	Queues   map[jobs.Queue]int
	Mail     mail.Sender
	MailFrom string // a bare address
	Webhooks *webhook.Sender
	// Gateways are those that need no merchant's configuration, by name.
	Gateways map[string]payment.Gateway
	// OpenGateway makes a gateway of a merchant's configuration; payment.Open when nil.
	OpenGateway func(gateway string, config json.RawMessage) (payment.Gateway, error)
	// PublicURL is the base of the links in notices to merchants.
	PublicURL string
	// ShutdownTimeout is how long Shutdown lets jobs finish before it gives them back; zero means 30 s.
	ShutdownTimeout time.Duration
	Log             *slog.Logger
	// Observe, if set, is told of every attempt that ended: for the metrics.
	Observe func(kind string, outcome Outcome, took time.Duration)
	// ObserveWait, if set, is told how long a job had been due when it was claimed.
	ObserveWait func(kind string, waited time.Duration)
	// Tracer makes the spans of attempts and of calls to others; nil for none.
	Tracer trace.Tracer
	// ObserveWebhook, if set, is told how each sending of a webhook ended: one of WebhookOutcomes.
	ObserveWebhook func(outcome string)
}

// Worker performs jobs. Each queue has an asynq.Server of its own, so that a slow class of work never delays another.
type Worker struct {
	Config
	gateways payment.Gateways
	servers  []*asynq.Server
	// turnstiles keep slow servers of others from taking all the places of a queue.
	turnstiles map[jobs.Queue]*turnstile
	client     redis.UniversalClient
	poll       *longPoll
	base       context.Context // ends when jobs have to be given back
	giveBack   context.CancelFunc
	stop       context.CancelFunc
	upkeep     sync.WaitGroup
}

var errShutdown = errors.New("the worker is shutting down")

const (
	taskCheckInterval    = time.Microsecond // Asynq waits that long at an empty queue, after longPoll has waited for a task
	delayedCheckInterval = time.Second      // Asynq keeps the times of what is scheduled or tried again in whole seconds
	hungGrace            = 5 * time.Second  // how much longer than the shutdown's time Asynq may take to stop
	giveBackTime         = 4 * time.Second  // kept from the shutdown's time for giving jobs back, but at most half of it
)

// NewWorker makes a worker; Start lets it begin.
func NewWorker(c Config) (*Worker, error) {
	w := &Worker{Config: c, turnstiles: map[jobs.Queue]*turnstile{}}
	w.gateways = payment.Gateways{Own: c.Gateways, Open: c.OpenGateway, Config: func(ctx context.Context, id string) (string, json.RawMessage, error) {
		gateway, _, config, err := c.Store.PaymentMethodConfig(ctx, id)
		return gateway, config, err
	}}
	if w.ShutdownTimeout <= 0 {
		w.ShutdownTimeout = 30 * time.Second
	}
	if len(w.Queues) == 0 {
		w.Queues = map[jobs.Queue]int{}
		for _, q := range jobs.Queues {
			w.Queues[q.Name] = q.Weight
		}
	}
	total := 0
	for name, weight := range w.Queues {
		if _, err := jobs.QueueByName(string(name)); err != nil {
			return nil, fmt.Errorf("handlers: %w", err)
		}
		if weight < 1 {
			return nil, fmt.Errorf("handlers: queue %s has weight %d", name, weight)
		}
		total += weight
	}
	w.base, w.giveBack = context.WithCancel(context.Background())
	serving, stop := context.WithCancel(context.Background())
	w.client, w.stop = c.Redis.Client(), stop
	w.poll = &longPoll{serving, w.client, blockTime}
	for _, q := range jobs.Queues {
		weight, ok := w.Queues[q.Name]
		if !ok {
			continue
		}
		places := jobs.Places(q.Name, c.Concurrency, weight, total)
		room := places
		if q.Name != jobs.Webhooks { // whose jobs all call servers
			room -= max(places/4, 1)
		}
		w.turnstiles[q.Name] = newTurnstile(places, room)
		w.servers = append(w.servers, asynq.NewServer(w.poll.option(c.Redis), asynq.Config{
			Concurrency:              places,
			Queues:                   map[string]int{string(q.Name): 1},
			TaskCheckInterval:        taskCheckInterval,
			DelayedTaskCheckInterval: delayedCheckInterval,
			RetryDelayFunc:           retryDelay,
			IsFailure:                isFailure,
			ShutdownTimeout:          w.ShutdownTimeout,
			Logger:                   asynqLog{c.Log},
			LogLevel:                 asynq.WarnLevel,
		}))
	}
	return w, nil
}

// Start begins to perform jobs and returns at once.
func (w *Worker) Start() error {
	for i, s := range w.servers {
		if err := s.Start(asynq.HandlerFunc(w.process)); err != nil {
			w.servers = w.servers[:i]
			w.Shutdown()
			return fmt.Errorf("start a queue server: %w", err)
		}
	}
	w.upkeep.Go(func() { jobs.KeepQueuesRegistered(w.poll.ctx, w.client) })
	return nil
}

// Shutdown takes no new jobs, lets those under way finish, and gives back those that have not when the shutdown timeout is nearly
// over. It returns when every goroutine of the worker has ended, but waits no longer than the shutdown timeout and hungGrace. Two may be
// left: a job that ignores its context, which another worker does after its lease while this one's result is refused; and a server to
// which a Redis that hangs owes an answer, which holds no job and ends with its connection or the process.
func (w *Worker) Shutdown() {
	timer := time.AfterFunc(w.ShutdownTimeout-min(giveBackTime, w.ShutdownTimeout/2), w.giveBack)
	defer timer.Stop()
	// A server that waits for a task does not hear that it is to stop.
	w.stop()
	_ = w.client.Close()
	// All at once: each may have to wait for an answer of Redis before it stops.
	var all sync.WaitGroup
	for _, s := range w.servers {
		all.Go(s.Shutdown)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		all.Wait()
	}()
	select {
	case <-stopped:
	case <-time.After(w.ShutdownTimeout + hungGrace):
		// A server whose subscription to cancellations meets a Redis that hangs waits for its answer without end (Asynq 0.26).
		w.Log.Warn("Redis does not answer; the worker stops without taking leave of it")
	}
	w.giveBack()
	w.upkeep.Wait()
}

// asynqLog passes Asynq's own log lines on. They speak of queues and ids only.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) Debug(args ...any) { l.log.Debug(fmt.Sprint(args...), "from", "asynq") }
func (l asynqLog) Info(args ...any)  { l.log.Debug(fmt.Sprint(args...), "from", "asynq") }
func (l asynqLog) Warn(args ...any)  { l.log.Warn(fmt.Sprint(args...), "from", "asynq") }
func (l asynqLog) Error(args ...any) { l.log.Warn(fmt.Sprint(args...), "from", "asynq") }

// Fatal must not end the process from within a library: the servers are owned and shut down by us.
func (l asynqLog) Fatal(args ...any) { l.log.Error(fmt.Sprint(args...), "from", "asynq") }
