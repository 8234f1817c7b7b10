package models

import (
	"context"
	"time"

	"github.com/purser-dev/purser/jobs"
)

// relayBatch bounds one transaction of the relay.
const relayBatch = 500

// Alarm is a promise whose alarm went off and which is to be handed over again.
type Alarm struct {
	jobs.Handover
	Queue jobs.Queue
	// Old means that the job has met conflicts for so long that the task in Redis is not to be trusted.
	Old bool
}

// TakeAlarms takes up to 500 unfinished promises whose alarm has passed, by the database's clock, and winds their alarms up
// again. A running one has lost its worker: it becomes due in a new epoch, or dead if its attempts are used up. A due one is to
// be handed over in the same epoch. Any number of schedulers may call it at once.
func (s *Store) TakeAlarms(ctx context.Context) (alarms []Alarm, more bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		alarms = nil
		var rows []Job
		q := t.Raw(`SELECT * FROM jobs WHERE finished_at IS NULL AND alarm_at <= ? ORDER BY alarm_at LIMIT ?`+s.dialect.skipLocked(),
			s.dialect.after(s, 0), relayBatch)
		if err := q.Scan(&rows).Error; err != nil {
			return err
		}
		more = len(rows) == relayBatch
		for i := range rows {
			j := &rows[i]
			if j.State == JobRunning && j.Attempts >= j.MaxAttempts {
				if err := t.buryLost(j); err != nil {
					return err
				}
				continue
			}
			if j.State == JobRunning {
				// Its epoch's task may still be "active" in Redis for minutes, so only a new epoch gets it going.
				j.Epoch++
				j.RunAt = t.now
			}
			if err := t.Exec(`UPDATE jobs SET state = 'due', epoch = ?, run_at = ?, alarms = alarms + 1, alarm_at = ? WHERE id = ?`,
				j.Epoch, j.RunAt, s.dialect.after(s, max(j.RunAt.Sub(t.now), 0)+jobs.AlarmAfter(j.Alarms)), j.ID).Error; err != nil {
				return err
			}
			kind, err := jobs.KindOf(j.Kind)
			if err != nil {
				// A newer program staged it; leave it to that program's scheduler.
				s.log.Warn("a job of a kind that this version does not know", "job", j.ID, "kind", j.Kind)
				continue
			}
			alarms = append(alarms, Alarm{Handover: j.handover(), Queue: kind.Queue, Old: t.now.Sub(j.RunAt) > 24*time.Hour})
		}
		return nil
	})
	return alarms, more, err
}

// lostReason is the error of a job whose last attempt ended its process or never came back.
const lostReason = "the worker was lost while it performed this job"

// buryLost is the death of a job that nobody reported. The order's lock comes before the job's everywhere else; here the job is
// locked already, so a lock that is not free at once is left to the next alarm.
func (t *tx) buryLost(j *Job) error {
	if j.OrderID != nil && !t.s.dialect.sqlite {
		var free []string
		if err := t.Raw(`SELECT id FROM orders WHERE id = ? FOR UPDATE SKIP LOCKED`, *j.OrderID).Scan(&free).Error; err != nil || len(free) == 0 {
			return err
		}
	}
	if err := t.consequence(j.Kind, j.Args, lostReason, actorScheduler); err != nil {
		return err
	}
	return t.Exec(`UPDATE jobs SET state = ?, finished_at = ?, last_error = ? WHERE id = ?`, JobDead, t.now, lostReason, j.ID).Error
}

// RaiseEpoch makes a new copy of a due job the current one, after Redis turned out not to have the old one. It returns the
// handover of the new copy, or false if the job is no longer due in that epoch.
func (s *Store) RaiseEpoch(ctx context.Context, h jobs.Handover) (jobs.Handover, bool, error) {
	res := s.claims.WithContext(ctx).Exec(`UPDATE jobs SET epoch = epoch + 1 WHERE id = ? AND state = 'due' AND epoch = ?`, h.JobID, h.Epoch)
	h.Epoch++
	return h, res.RowsAffected == 1, res.Error
}

// ResetAlarms makes the alarm of every unfinished promise go off at once, so that the relay rebuilds the queue. Embedded mode
// calls it at its start, when no other process can hold a claim and the in-process Redis is empty.
func (s *Store) ResetAlarms(ctx context.Context) error {
	return s.write(ctx, func(t *tx) error {
		return t.Exec(`UPDATE jobs SET alarm_at = ?, alarms = 0 WHERE finished_at IS NULL`, t.now).Error
	})
}

// StageTick stages a periodic job for the period that now lies in. Several schedulers may do so at once: one job results.
func (s *Store) StageTick(ctx context.Context, kind jobs.Kind, now time.Time) error {
	key := kind.Name + "@" + now.UTC().Truncate(kind.Every).Format(time.RFC3339)
	return s.write(ctx, func(t *tx) error {
		t.stage(kind.Name, Job{DedupeKey: &key})
		return nil
	})
}
