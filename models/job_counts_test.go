package models_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestJobCounts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		now := time.Now().UTC().Truncate(time.Microsecond)
		for i, j := range []struct {
			state string
			runAt time.Duration
		}{
			{"due", -time.Minute}, {"due", -time.Second}, {"due", -time.Hour}, {"due", time.Hour}, {"due", 2 * time.Hour},
			{"running", -time.Minute}, {"dead", -time.Minute}, {"done", -time.Minute}, {"cancelled", time.Hour},
		} {
			var finished *time.Time
			if j.state != "due" && j.state != "running" {
				finished = &now
			}
			storetest.Exec(t, s, `INSERT INTO jobs (id, kind, args, state, max_attempts, run_at, alarm_at, created_at, finished_at)
				VALUES ($1, 'email.send', '{}', $2, 3, $3, $3, $4, $5)`, string(rune('a'+i)), j.state, now.Add(j.runAt), now, finished)
		}
		got, err := s.JobCounts(t.Context())
		if want := (models.JobCounts{Due: 3, Waiting: 2, Running: 1, Dead: 1}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		groups, err := s.JobGroups(t.Context())
		slices.SortFunc(groups, func(a, b models.JobGroup) int { return strings.Compare(a.State, b.State) })
		second := func(runAt time.Duration) time.Time { return now.Add(runAt).Truncate(time.Second) }
		if want := []models.JobGroup{
			{"email.send", "dead", 1, second(-time.Minute)}, {"email.send", "due", 3, second(-time.Hour)},
			{"email.send", "running", 1, second(-time.Minute)}, {"email.send", "waiting", 2, second(time.Hour)},
		}; err != nil || !slices.Equal(groups, want) {
			t.Errorf("%+v, %v, want %+v", groups, err, want)
		}
	})
}
