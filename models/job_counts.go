package models

import "context"

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
