package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// hands is how many dead jobs an operator starts again at a time. Each is a process of its own, so that one after the other they would be
// what a recovery waits for.
const hands = 4

// help sends deliveries again that wait for longer than ten seconds, and gives dead jobs a new life. What cannot be helped at this moment,
// because it runs, does not keep it from the others.
func (t *trial) help(ctx context.Context) error {
	return errors.Join(t.helpMerchant(ctx), t.helpOperator(ctx))
}

func (t *trial) helpMerchant(ctx context.Context) error {
	type delivery struct {
		ID            string     `json:"id"`
		NextAttemptAt *time.Time `json:"next_attempt_at"`
	}
	waiting, err := list[delivery](ctx, t.client, "/v1/deliveries?status=pending")
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range waiting {
		if d.NextAttemptAt != nil && time.Until(*d.NextAttemptAt) > 10*time.Second {
			errs = append(errs, t.client.ask(ctx, http.MethodPost, "/v1/deliveries/"+d.ID+"/retry", "", nil, nil, http.StatusOK))
		}
	}
	return errors.Join(errs...)
}

func (t *trial) helpOperator(ctx context.Context) error {
	var dead strings.Builder
	for _, kind := range []string{"email.send", "reminder.send"} {
		some, err := t.tool(ctx, "jobs", "list", "--state", "dead", "--kind", kind, "--limit", "1000")
		if err != nil {
			return err
		}
		dead.WriteString(some)
	}
	var mu sync.Mutex
	var errs []error
	var all sync.WaitGroup
	work := make(chan string)
	for range hands {
		all.Go(func() {
			for id := range work {
				if _, err := t.tool(ctx, "jobs", "retry", id); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for line := range strings.Lines(dead.String()) {
		if id, _, _ := strings.Cut(line, " "); id != "ID" {
			work <- id
		}
	}
	close(work)
	all.Wait()
	return errors.Join(errs...)
}
