package scheduler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/purser-dev/purser/models"
)

const (
	relayInterval   = time.Second
	pingTimeout     = 300 * time.Millisecond
	roundTimeout    = 20 * time.Second
	handoverTimeout = 2 * time.Second
	handoverWorkers = 8
)

// relay looks every second for promises whose alarm has gone off.
func (s *Scheduler) relay(ctx context.Context) {
	tick := time.NewTicker(relayInterval)
	defer tick.Stop()
	for {
		if err := s.round(ctx); ctx.Err() == nil {
			s.report(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// report logs one line when the relay stops working and one when it works again, not one a second. Only the relay's goroutine calls it.
func (s *Scheduler) report(err error) {
	switch {
	case err == nil && s.trouble != "":
		s.Log.Info("the relay works again")
		s.trouble = ""
	case err != nil && models.ErrorText(err) != s.trouble:
		s.trouble = models.ErrorText(err)
		s.Log.Warn("the relay could not complete its round", "err", s.trouble)
	}
}

// round takes every alarm that has gone off. Redis is asked first whether it is there: taking an alarm winds it up for longer each
// time, and a Redis that is away must not use that up.
func (s *Scheduler) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	ping, done := context.WithTimeout(ctx, pingTimeout)
	err := s.client.Ping(ping).Err()
	done()
	if err != nil {
		return fmt.Errorf("redis does not answer: %w", err)
	}
	for {
		alarms, more, err := s.Store.TakeAlarms(ctx)
		if err != nil {
			return err
		}
		if err := s.handOver(ctx, alarms); err != nil {
			return err
		}
		if !more {
			s.lastRound.Store(time.Now().UnixMilli())
			return nil
		}
	}
}

func (s *Scheduler) handOver(ctx context.Context, alarms []models.Alarm) error {
	work := make(chan models.Alarm)
	errs := make(chan error, handoverWorkers)
	var all sync.WaitGroup
	for range min(handoverWorkers, len(alarms)) {
		all.Go(func() {
			var first error
			for a := range work {
				if first == nil {
					first = s.handOverOne(ctx, a)
				}
			}
			errs <- first
		})
	}
	for _, a := range alarms {
		work <- a
	}
	close(work)
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// handOverOne hands a promise over in its present epoch. If Asynq refuses because it holds that epoch already, and holds it where
// it will be taken from, it is left there: raising the epoch under a backlog would flood Redis and push jobs to the back.
func (s *Scheduler) handOverOne(ctx context.Context, a models.Alarm) error {
	ctx, cancel := context.WithTimeout(ctx, handoverTimeout)
	defer cancel()
	ok, err := s.publisher.HandOver(ctx, a.Handover)
	if err != nil {
		return err
	}
	if ok {
		s.relayed.Add(1)
		return nil
	}
	if !a.Old {
		if held, err := s.holds(ctx, a); held || err != nil {
			return err
		}
	}
	h, raised, err := s.Store.RaiseEpoch(ctx, a.Handover)
	if err != nil || !raised {
		return err
	}
	s.relayed.Add(1)
	_, err = s.publisher.HandOver(ctx, h)
	return err
}
