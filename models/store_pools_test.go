package models_test

import (
	"context"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// What waits for a connection is seen in the statistics of the pool that it waits in.
func TestWaitingIsSeenInThePool(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		job := crowdOf(t, s, 1)[0]
		claim := claimEach(t, s, []models.Job{job})[0]
		d, err := s.Dispatch(t.Context(), claim)
		if err != nil {
			t.Fatal(err)
		}
		uses := map[string]func(context.Context) error{
			"claims": func(ctx context.Context) error {
				_, err := s.Claim(ctx, job.ID, 0, kindOf(t, jobs.KindDeliver))
				return err
			},
			"keeps": func(ctx context.Context) error { return s.KeepDelivered(ctx, claim, attemptOf(d)) },
			"reads": func(ctx context.Context) error { _, err := s.Job(ctx, job.ID); return err },
		}
		pools := s.SidePools()
		if len(pools) == 0 || pools["reads"] != nil != s.Embedded() || pools["claims"] != nil == s.Embedded() || pools["keeps"] != nil == s.Embedded() {
			t.Fatalf("the pools are %v", pools)
		}
		for name, pool := range pools {
			held := pool.Stats().MaxOpenConnections
			var release []func() error
			for range held {
				conn, err := pool.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				release = append(release, conn.Close)
			}
			before := pool.Stats().WaitCount
			used := make(chan error, 1)
			go func() { used <- uses[name](t.Context()) }()
			tick := time.NewTicker(time.Millisecond)
			for pool.Stats().WaitCount == before {
				select {
				case <-tick.C:
				case err := <-used:
					t.Fatalf("%s: nobody waited for one of the %d connections: %v", name, held, err)
				}
			}
			tick.Stop()
			for _, r := range release {
				if err := r(); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-used; err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if pool.Stats().WaitDuration <= 0 {
				t.Errorf("%s: nobody has waited", name)
			}
		}
	})
}
