package models

import (
	"context"
	"time"
)

// JobCounts are the promises that an operator looks after. Finished ones are not counted: there may be millions.
type JobCounts struct {
	Due     int64 // to be performed now
	Waiting int64 // for their time, most of them after a failed attempt
	Running int64
	Dead    int64 // used up their attempts
}

// JobCounts counts promises by state.
func (s *Store) JobCounts(ctx context.Context) (JobCounts, error) {
	var n JobCounts
	err := s.read(ctx).Raw(`SELECT
			COUNT(CASE WHEN state = 'due' AND run_at <= ? THEN 1 END) AS due,
			COUNT(CASE WHEN state = 'due' AND run_at > ? THEN 1 END) AS waiting,
			COUNT(CASE WHEN state = 'running' THEN 1 END) AS running
		FROM jobs WHERE finished_at IS NULL`, s.now(), s.now()).Scan(&n).Error
	if err != nil {
		return n, err
	}
	n.Dead, err = s.DeadJobs(ctx)
	return n, err
}

// JobGroup is the unfinished or dead promises of one kind in one state.
type JobGroup struct {
	Kind  string
	State string // due, waiting (for their time), running or dead
	Count int64
	// Oldest is when the one of them was due that has been due for longest, to the second.
	Oldest time.Time
}

// JobGroups is JobCounts by kind, for the metrics. Groups without a promise are left out.
func (s *Store) JobGroups(ctx context.Context) ([]JobGroup, error) {
	var rows []struct {
		Kind, State string
		Count       int64
		Oldest      float64
	}
	oldest := s.dialect.epoch("MIN(run_at)")
	err := s.read(ctx).Raw(`SELECT kind, state, COUNT(*) AS count, `+oldest+` AS oldest FROM (
			SELECT kind, run_at, CASE WHEN state = 'running' THEN 'running' WHEN run_at <= ? THEN 'due' ELSE 'waiting' END AS state
			FROM jobs WHERE finished_at IS NULL) AS unfinished GROUP BY kind, state
		UNION ALL SELECT kind, 'dead', COUNT(*), `+oldest+` FROM jobs WHERE state = 'dead' GROUP BY kind`, s.now()).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	out := make([]JobGroup, len(rows))
	for i, r := range rows {
		out[i] = JobGroup{r.Kind, r.State, r.Count, time.Unix(int64(r.Oldest), 0).UTC()}
	}
	return out, nil
}
