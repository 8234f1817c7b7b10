package jobs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEveryKindIsComplete(t *testing.T) {
	t.Parallel()
	queues := map[Queue]bool{}
	for _, q := range Queues {
		if q.Weight < 1 {
			t.Errorf("queue %s has weight %d", q.Name, q.Weight)
		}
		if queues[q.Name] {
			t.Errorf("queue %s is there twice", q.Name)
		}
		queues[q.Name] = true
	}
	used, seen := map[Queue]bool{}, map[string]bool{}
	for _, k := range Kinds {
		if seen[k.Name] {
			t.Errorf("kind %s is there twice", k.Name)
		}
		seen[k.Name], used[k.Queue] = true, true
		if !queues[k.Queue] {
			t.Errorf("%s is for the queue %q, which nobody serves", k.Name, k.Queue)
		}
		if k.MaxAttempts < 1 || k.Timeout < time.Second || k.Backoff == nil {
			t.Errorf("%s lacks attempts, a timeout or a backoff: %+v", k.Name, k)
		}
		// Asynq keeps timeouts in whole seconds; a fraction would be cut from the time to write the result.
		if k.Timeout%time.Second != 0 {
			t.Errorf("%s has a timeout of %v, which is not in whole seconds", k.Name, k.Timeout)
		}
		if strings.ContainsAny(k.Name, "/@: ") {
			t.Errorf("the name %q has a character that task ids, ticks or dedupe keys give a meaning to", k.Name)
		}
		if k.Every > 0 && (k.Queue != Maintenance || k.Every%time.Second != 0) {
			t.Errorf("the periodic kind %s is not maintenance every so many whole seconds", k.Name)
		}
		found, err := KindOf(k.Name)
		if err != nil || found.Name != k.Name {
			t.Errorf("KindOf(%q) = %v, %v", k.Name, found.Name, err)
		}
	}
	for q := range queues {
		if !used[q] {
			t.Errorf("no kind is for the queue %s", q)
		}
	}
	if _, err := KindOf("order.frobnicate"); err == nil {
		t.Error("an unknown kind was found")
	}
}

// A worker that is lost with a business job in hand costs its lease and a round of the relay. The whole promise is 45 s, so that
// something is left for the hand-over.
func TestLostWorkIsUnderWayAgainWithin45Seconds(t *testing.T) {
	t.Parallel()
	const promised, relayRound, handOver = 45 * time.Second, time.Second, 2 * time.Second
	for _, k := range Kinds {
		if k.Queue == Maintenance {
			continue // the next tick finds what a lost one left
		}
		if worst := k.Lease() + relayRound + handOver; worst > promised {
			t.Errorf("a lost %s is under way again after %v", k.Name, worst)
		}
	}
	if worst := AlarmAfter(1000) + relayRound + handOver; worst > promised {
		t.Errorf("a task that Redis lost is handed over again after %v", worst)
	}
}

func TestTimeoutsAreNested(t *testing.T) {
	t.Parallel()
	for _, k := range Kinds {
		if !(k.Timeout < k.TaskTimeout() && k.TaskTimeout() < k.Lease()) {
			t.Errorf("%s: timeout %v, Asynq's %v, lease %v", k.Name, k.Timeout, k.TaskTimeout(), k.Lease())
		}
		if k.TaskTimeout()-k.Timeout < WriteTimeout() {
			t.Errorf("%s: Asynq gives up %v after us, but a result may take %v to write", k.Name, k.TaskTimeout()-k.Timeout, WriteTimeout())
		}
	}
}

func TestBackoffRisesWithinItsBounds(t *testing.T) {
	t.Parallel()
	for _, k := range Kinds {
		values := map[time.Duration]bool{}
		var before time.Duration
		for attempt := 1; attempt < k.MaxAttempts; attempt++ {
			low, high := k.Backoff(attempt), time.Duration(0)
			for range 50 {
				d := k.Backoff(attempt)
				low, high = min(low, d), max(high, d)
				values[d] = true
			}
			if low <= 0 || low < before*5/6 || high > k.Horizon*3/4 {
				t.Errorf("%s pauses %v to %v after attempt %d, %v before", k.Name, low, high, attempt, before)
			}
			if high > low*5/4 {
				t.Errorf("%s after attempt %d: jitter from %v to %v", k.Name, attempt, low, high)
			}
			before = low
		}
		if len(values) < 50 {
			t.Errorf("%s: the pauses of a crowd of failures take only %d values", k.Name, len(values))
		}
		for _, attempt := range []int{-5, 0, 1 << 20} { // rows of a version with more or fewer attempts
			if d := k.Backoff(attempt); d <= 0 || d > 29*time.Hour {
				t.Errorf("%s pauses %v after attempt %d", k.Name, d, attempt)
			}
		}
	}
}

func TestWebhookScheduleIsThePublishedOne(t *testing.T) {
	t.Parallel()
	published := []string{"5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"}
	kind, err := KindOf(KindDeliver)
	if err != nil {
		t.Fatal(err)
	}
	if kind.MaxAttempts != len(published)+1 {
		t.Fatalf("%d attempts, want %d: the first is immediate", kind.MaxAttempts, len(published)+1)
	}
	var total time.Duration
	for i, text := range published {
		want, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if webhookPauses[i] != want {
			t.Errorf("the pause after attempt %d is %v, want %v", i+1, webhookPauses[i], want)
		}
		total += webhookPauses[i]
		// Jitter only lengthens: nothing comes earlier than published.
		if d := kind.Backoff(i + 1); d < want || d > want*6/5 {
			t.Errorf("after attempt %d it pauses %v, want %v to %v", i+1, d, want, want*6/5)
		}
	}
	if hours := total.Hours(); hours < 75.55 || hours > 75.65 {
		t.Errorf("the schedule spans %.2f hours, want 75.6", hours)
	}
}

func TestAlarmAfter(t *testing.T) {
	t.Parallel()
	want := []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second, 30 * time.Second}
	got := make([]time.Duration, len(want))
	for alarms := range want {
		got[alarms] = AlarmAfter(alarms)
	}
	if !slices.Equal(got, want) {
		t.Errorf("alarms after %v, want %v", got, want)
	}
	if d := AlarmAfter(1 << 30); d != maxAlarmInterval {
		t.Errorf("after very many alarms %v", d)
	}
}

func TestQueueByName(t *testing.T) {
	t.Parallel()
	for _, q := range Queues {
		if found, err := QueueByName(string(q.Name)); err != nil || found != q.Name {
			t.Errorf("QueueByName(%q) = %q, %v", q.Name, found, err)
		}
	}
	if _, err := QueueByName("default"); err == nil || !strings.Contains(err.Error(), "payments, fulfilment, email, reminders, webhooks, maintenance") {
		t.Errorf("an unknown queue: %v", err)
	}
}
