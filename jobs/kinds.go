package jobs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A Queue is a class of work with servers of its own, so that a slow class never delays another.
type Queue string

// The queues. PURSER_QUEUES names them.
const (
	Payments    Queue = "payments"
	Fulfilment  Queue = "fulfilment"
	Email       Queue = "email"
	Reminders   Queue = "reminders"
	Webhooks    Queue = "webhooks"
	Maintenance Queue = "maintenance"
)

// Queues lists every queue with the weight by which a worker's concurrency is divided among them by default, and with how many jobs wait
// for others (a mail server, a merchant's server, a gateway, the database) while one needs the processor: as many times its share are
// performed at once.
var Queues = []struct {
	Name   Queue
	Weight int
	Waits  int
}{
	{Payments, 2, 8},
	{Fulfilment, 4, 4},
	{Email, 4, 8},
	{Reminders, 1, 8}, // a merchant may have very many at once, and nobody's licence is to wait behind them
	{Webhooks, 8, 16},
	{Maintenance, 1, 1},
}

// Places is how many jobs of a queue a worker performs at once, where total is the sum of the weights of the queues that it serves.
func Places(name Queue, concurrency, weight, total int) int {
	places := max((concurrency*weight+total-1)/total, 1)
	for _, q := range Queues {
		if q.Name == name {
			places *= q.Waits
		}
	}
	return places
}

// QueueByName returns the queue of that name, or an error that lists those there are.
func QueueByName(name string) (Queue, error) {
	known := make([]string, len(Queues))
	for i, q := range Queues {
		if string(q.Name) == name {
			return q.Name, nil
		}
		known[i] = string(q.Name)
	}
	return "", fmt.Errorf("there is no queue %q; there are %s", name, strings.Join(known, ", "))
}

// A Kind is everything that the machinery needs to know about one kind of job.
type Kind struct {
	Name  string
	Queue Queue
	// MaxAttempts is how often a job of this kind is tried before it is dead.
	MaxAttempts int
	// Timeout bounds one attempt. The lease of a claim follows from it (see Lease).
	Timeout time.Duration
	// Backoff is the pause after the given failed attempt (1 is the first), unless the failure names its own.
	Backoff func(attempt int) time.Duration
	// Horizon is beyond the longest pause of a job of this kind, whoever asks for the pause: what is due later is so by mistake.
	Horizon time.Duration
	// Every is the period of a kind that the scheduler stages by itself; zero for all others.
	Every time.Duration
}

// The names of the job kinds.
const (
	KindFulfil    = "item.fulfil"
	KindFillPool  = "pool.fill"
	KindSendEmail = "email.send"
	KindReminder  = "reminder.send"
	KindDeliver   = "webhook.deliver"
	KindSettle    = "payment.settle"
	KindCallback  = "payment.callback"
	KindRemind    = "orders.remind"
	KindExpire    = "orders.expire"
	KindSweep     = "retention.sweep"
)

// Timeouts and leases are short enough that a lost worker's job is under way again within 45 s.
const (
	writeMargin      = 3 * time.Second // time to write the result after the kind's timeout
	leaseGrace       = 5 * time.Second // how much longer a claim is respected
	firstAlarm       = 10 * time.Second
	maxAlarmInterval = 30 * time.Second
)

// webhookPauses is the published retry schedule (5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h after the immediate
// first attempt).
var webhookPauses = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// Kinds is the table of job kinds; the one place where attempts, pauses and timeouts are decided.
var Kinds = []Kind{
	{Name: KindFulfil, Queue: Fulfilment, MaxAttempts: 8, Timeout: 30 * time.Second, Backoff: exponential(2*time.Second, 10*time.Minute), Horizon: time.Hour},
	{Name: KindFillPool, Queue: Fulfilment, MaxAttempts: 8, Timeout: 30 * time.Second, Backoff: exponential(2*time.Second, 5*time.Minute), Horizon: time.Hour},
	{Name: KindSendEmail, Queue: Email, MaxAttempts: 14, Timeout: 30 * time.Second, Backoff: exponential(5*time.Second, 6*time.Hour), Horizon: 24 * time.Hour},
	{Name: KindReminder, Queue: Reminders, MaxAttempts: 14, Timeout: 30 * time.Second, Backoff: exponential(5*time.Second, 6*time.Hour), Horizon: 24 * time.Hour},
	{Name: KindDeliver, Queue: Webhooks, MaxAttempts: len(webhookPauses) + 1, Timeout: 20 * time.Second, Backoff: schedule(webhookPauses), Horizon: 48 * time.Hour},
	{Name: KindSettle, Queue: Payments, MaxAttempts: 20, Timeout: 30 * time.Second, Backoff: exponential(2*time.Second, time.Hour), Horizon: 24 * time.Hour},
	{Name: KindCallback, Queue: Payments, MaxAttempts: 20, Timeout: 30 * time.Second, Backoff: exponential(2*time.Second, time.Hour), Horizon: 12 * time.Hour},
	{Name: KindRemind, Queue: Maintenance, MaxAttempts: 3, Timeout: 30 * time.Second, Backoff: exponential(time.Second, 10*time.Second), Horizon: time.Hour, Every: time.Second},
	{Name: KindExpire, Queue: Maintenance, MaxAttempts: 3, Timeout: 30 * time.Second, Backoff: exponential(time.Second, 10*time.Second), Horizon: time.Hour, Every: time.Second},
	{Name: KindSweep, Queue: Maintenance, MaxAttempts: 3, Timeout: 5 * time.Minute, Backoff: exponential(time.Minute, 10*time.Minute), Horizon: time.Hour, Every: 10 * time.Minute},
}

// KindOf returns the table's row for a name.
func KindOf(name string) (Kind, error) {
	if i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == name }); i >= 0 {
		return Kinds[i], nil
	}
	return Kind{}, fmt.Errorf("jobs: unknown kind %q", name)
}

// Lease is how long a claim is respected before the relay takes the job for lost: the kind's timeout, the time to write the
// result, and a grace.
func (k Kind) Lease() time.Duration { return k.Timeout + writeMargin + leaseGrace }

// TaskTimeout is the deadline that Asynq is given. It lies behind the kind's own, so that our failure is written before Asynq's.
func (k Kind) TaskTimeout() time.Duration { return k.Timeout + writeMargin }

// WriteTimeout bounds the write of a result, which happens even when the attempt's own context has ended.
func WriteTimeout() time.Duration { return writeMargin }

// AlarmAfter is how long after its due time an unclaimed job is handed over again: 10 s at first, doubling to 30 s at most.
func AlarmAfter(alarms int) time.Duration {
	d := firstAlarm
	for range alarms {
		if d *= 2; d >= maxAlarmInterval {
			return maxAlarmInterval
		}
	}
	return d
}

// exponential doubles from first to limit, with up to 20 % of jitter on top so that a crowd of failures spreads out.
func exponential(first, limit time.Duration) func(int) time.Duration {
	return func(attempt int) time.Duration {
		d := first
		for i := 1; i < attempt && d < limit; i++ {
			d *= 2
		}
		return jitter(min(d, limit))
	}
}

func schedule(pauses []time.Duration) func(int) time.Duration {
	return func(attempt int) time.Duration {
		return jitter(pauses[min(max(attempt, 1), len(pauses))-1])
	}
}

func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Float64()*0.2*float64(d))
}
