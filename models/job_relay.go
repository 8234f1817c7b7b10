package models

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/purser-dev/purser/jobs"
)

// relayBatch bounds one transaction of the relay.
const relayBatch = 500

// oldAlarms is how many alarms in a row a waiting job may meet conflicts with its own task: a day of them, as they come every half minute
// in the end.
var oldAlarms = int(24 * time.Hour / jobs.AlarmAfter(1000))

// Alarm is a promise whose alarm went off and which is to be handed over again.
type Alarm struct {
	jobs.Handover
	Queue jobs.Queue
	// Again means that it is not the first alarm of this epoch: whoever has the task has had it for long.
	Again bool
	// Old means that the job has met conflicts for so long that the task in Redis is not to be trusted.
	Old bool
}

// overdue asks for the promises whose alarm has passed.
func (s *Store) overdue(db *gorm.DB) *gorm.DB {
	return db.Raw(`SELECT * FROM jobs WHERE finished_at IS NULL AND alarm_at <= ? AND kind IN ? ORDER BY alarm_at LIMIT ?`+s.dialect.skipLocked(),
		s.dialect.after(s, 0), kindNames(), relayBatch)
}

// TakeAlarms takes up to 500 unfinished promises whose alarm has passed, by the database's clock, and winds their alarms up
// again. A running one has lost its worker: it becomes due in a new epoch, or dead if its attempts are used up. A due one is to
// be handed over in the same epoch. Any number of schedulers may call it at once. Jobs of kinds that this version does not know are left to
// the schedulers of a newer one, which know what their end means.
func (s *Store) TakeAlarms(ctx context.Context) (alarms []Alarm, more bool, err error) {
	var lost []Job
	err = s.write(ctx, func(t *tx) error {
		var rows []Job
		if err := s.overdue(t.DB).Scan(&rows).Error; err != nil {
			return err
		}
		alarms, lost, more = nil, nil, len(rows) == relayBatch
		pauses := map[time.Duration][]string{} // few: only jobs of the future have one of their own
		for i := range rows {
			j := &rows[i]
			if j.State == JobRunning && j.Attempts >= j.MaxAttempts {
				lost = append(lost, *j)
			} else {
				a, err := t.alarm(j)
				if err != nil {
					return err
				}
				alarms = append(alarms, a)
			}
			// The first alarm came after the first pause, so the pause behind it is the second. A new epoch begins anew.
			pause := jobs.AlarmAfter(j.Alarms + 1)
			if j.State == JobRunning {
				pause = jobs.AlarmAfter(0)
			}
			pause += max(j.RunAt.Sub(t.now), 0)
			pauses[pause] = append(pauses[pause], j.ID)
		}
		for pause, ids := range pauses {
			if err := t.wind(ids, pause); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	for i := range lost {
		// One that cannot be buried must not hold up the others. Its alarm is wound up, so it is tried again.
		if err := s.bury(ctx, &lost[i]); err != nil {
			s.log.Error("a lost job could not be ended", "job", lost[i].ID, "kind", lost[i].Kind, "err", ErrorText(err))
		}
	}
	return alarms, more, nil
}

func kindNames() []string {
	names := make([]string, len(jobs.Kinds))
	for i, k := range jobs.Kinds {
		names[i] = k.Name
	}
	return names
}

// alarm makes the handover of a job that goes on.
func (t *tx) alarm(j *Job) (Alarm, error) {
	kind, err := jobs.KindOf(j.Kind)
	if err != nil {
		return Alarm{}, err
	}
	if j.State == JobRunning {
		// Its epoch's task may still be "active" in Redis for minutes, so only a new epoch gets it going.
		j.Epoch++
		j.RunAt = t.now
	}
	return Alarm{Handover: j.handover(), Queue: kind.Queue, Again: j.State == JobDue && j.Alarms > 0, Old: j.Alarms >= oldAlarms}, nil
}

// wind winds the alarms of locked jobs up, and makes those due again that are running and have attempts left.
func (t *tx) wind(ids []string, pause time.Duration) error {
	const again = `CASE WHEN state = 'running' AND attempts < max_attempts THEN `
	return t.Exec(`UPDATE jobs SET alarms = CASE WHEN state = 'due' THEN alarms + 1 ELSE 0 END, alarm_at = ?, epoch = `+again+`epoch + 1 ELSE epoch END,
		run_at = `+again+`? ELSE run_at END, state = `+again+`'due' ELSE state END WHERE id IN ?`,
		t.s.dialect.after(t.s, pause), t.now, ids).Error
}

// lostReason is the error of a job whose last attempt ended its process or never came back.
const lostReason = "the worker was lost while it performed this job"

// bury is the death of a job that nobody reported, in a transaction of its own that takes its locks in the order that all others do:
// the order's, then the job's.
func (s *Store) bury(ctx context.Context, lost *Job) error {
	return s.write(ctx, func(t *tx) error {
		if lost.OrderID != nil {
			if _, err := t.lockOrder(*lost.OrderID); err != nil {
				return err
			}
		}
		j, err := t.lockJob(lost.ID)
		if errors.Is(err, errNoJob) {
			return nil
		}
		if err != nil {
			return err
		}
		if j.State != JobRunning || j.Attempts != lost.Attempts {
			return nil // its worker came back at the last moment
		}
		if err := t.consequence(j.Kind, j.Args, lostReason, actorScheduler); err != nil {
			return err
		}
		return t.Exec(`UPDATE jobs SET state = ?, finished_at = ?, last_error = ? WHERE id = ?`, JobDead, t.now, lostReason, j.ID).Error
	})
}

// RaiseEpoch makes a new copy of a due job the current one, after Redis turned out not to have the old one. It returns the
// handover of the new copy, or false if the job is no longer due in that epoch. The count of alarms begins anew, so that a job which
// waits for days does not get a new copy with every alarm.
func (s *Store) RaiseEpoch(ctx context.Context, h jobs.Handover) (jobs.Handover, bool, error) {
	res := s.claims.WithContext(ctx).Exec(`UPDATE jobs SET epoch = epoch + 1, alarms = 0 WHERE id = ? AND state = 'due' AND epoch = ?`, h.JobID, h.Epoch)
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
