package models

import (
	"context"
	"encoding/json"
	"time"

	"gorm.io/gorm"

	"github.com/purser-dev/purser/jobs"
)

// Claim is a worker's right to perform a job, until the lease ends or somebody else claims it.
type Claim struct {
	JobID       string
	Kind        jobs.Kind
	Args        JobArgs
	Attempt     int // the fence: 1 for the first claim
	MaxAttempts int
	RunAt       time.Time // when this attempt was due

	dispatch *dispatchRow // of a delivery, where it came with the claim
}

// claimRequest is what a worker wants to claim.
type claimRequest struct {
	jobID string
	epoch int
	kind  jobs.Kind
}

// claimed is what the database answers.
type claimed struct {
	Attempts, MaxAttempts int
	Args                  string
	RunAt                 time.Time
	dispatch              *dispatchRow
}

func (r claimRequest) claim(row *claimed) (*Claim, error) {
	c := &Claim{JobID: r.jobID, Kind: r.kind, Attempt: row.Attempts, MaxAttempts: row.MaxAttempts, RunAt: row.RunAt, dispatch: row.dispatch}
	return c, json.Unmarshal([]byte(row.Args), &c.Args)
}

// Claim takes a job for this worker. It returns nil without an error when there is nothing to do: another worker has the job or
// had it, or the task is a stale copy. Losing a claim in a crash is harmless, so claims do not wait for the disk.
func (s *Store) Claim(ctx context.Context, jobID string, epoch int, kind jobs.Kind) (*Claim, error) {
	r := claimRequest{jobID, epoch, kind}
	group := s.claiming
	if kind.Name == jobs.KindDeliver {
		group = s.dispatching
	}
	row, together, err := group.do(ctx, r)
	if !together && err == nil {
		// A batch leaves out a job that somebody else is moving at the moment; only one who waits for that learns what became of it.
		row, err = s.claimAlone(s.claims.WithContext(ctx), r)
	}
	if err != nil || row == nil {
		return nil, err
	}
	return r.claim(row)
}

// claimAlone claims one job. Any copy may claim once the job is due; the current copy may at any time, which is an operator's "run now".
func (s *Store) claimAlone(db *gorm.DB, r claimRequest) (*claimed, error) {
	var row claimed
	res := db.Raw(`UPDATE jobs SET state = 'running', attempts = attempts + 1, alarms = 0, alarm_at = ?
		WHERE id = ? AND state = 'due' AND (epoch = ? OR run_at <= ?) RETURNING attempts, max_attempts, args, run_at`,
		s.dialect.after(s, r.kind.Lease()), r.jobID, r.epoch, s.dialect.after(s, 0)).Scan(&row)
	if res.Error != nil || row.Attempts == 0 {
		return nil, res.Error
	}
	return &row, nil
}

// unclaim gives a job back that was claimed for a caller who had gone. If that fails, the job's lease will end.
func (s *Store) unclaim(ctx context.Context, r claimRequest, row *claimed) {
	if row == nil {
		return
	}
	_ = s.GiveBack(ctx, &Claim{JobID: r.jobID, Kind: r.kind, Attempt: row.Attempts}, 0)
}
