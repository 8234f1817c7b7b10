package models

import (
	"context"
	"errors"
	"time"

	"github.com/purser-dev/purser/jobs"
)

// consequence is what it means for the business that a job is dead: in the transaction that buries it, because the relay can be
// the one to find it as well as the worker.
func (t *tx) consequence(kind string, args JobArgs, reason, actor string) error {
	switch kind {
	case jobs.KindFulfil:
		return ignoreGone(t.failFulfilment(args.Item, reason, actor))
	case jobs.KindSendEmail, jobs.KindReminder:
		return ignoreGone(t.failEmail(args.Email, reason, actor))
	case jobs.KindDeliver:
		return t.finishDelivery(args.Delivery, DeliveryFailed)
	case jobs.KindSettle, jobs.KindCallback, jobs.KindFillPool, jobs.KindRemind, jobs.KindExpire, jobs.KindSweep:
		// The state that these work on stays visible: the payment under way, the callback that was not applied, the items that wait, the orders that are due.
		return nil
	}
	return nil
}

func ignoreGone(err error) error {
	if CodeOf(err) == CodeNotFound {
		return nil
	}
	return err
}

// RetryJob is an operator's retry: a dead or cancelled job gets a new life with as many attempts as its kind has, a waiting one
// becomes due now, which costs it none of its attempts. A done one is refused, and a running one unless its lease has an end that no worker was ever given: nothing else would
// bring that back.
func (s *Store) RetryJob(ctx context.Context, id, actor string) error {
	return s.write(ctx, func(t *tx) error { return t.reviveJob(id, actor) })
}

// reviveJob locks the order of a job, then the job, and makes it due in a new epoch.
func (t *tx) reviveJob(id, actor string) error {
	if !jobID.MatchString(id) {
		return notFound("job")
	}
	var found Job
	if err := t.Where("id = ?", id).Take(&found).Error; err != nil {
		return orNotFound(err, "job")
	}
	kind, err := jobs.KindOf(found.Kind)
	if err != nil {
		return conflict("This version does not know jobs of kind %s.", found.Kind)
	}
	var o *Order
	if found.OrderID != nil {
		if o, err = t.lockOrder(*found.OrderID); err != nil {
			return err
		}
	}
	j, err := t.lockJob(id)
	if errors.Is(err, errNoJob) {
		return notFound("job")
	}
	if err != nil {
		return err
	}
	switch j.State {
	case JobRunning:
		// If its worker lives after all, it has lost the job: what it writes is fenced off.
		far, err := t.farAlarm(id)
		if err != nil {
			return err
		}
		if !far {
			return conflict("The job is running.")
		}
	case JobDone:
		if j.Kind != jobs.KindDeliver {
			return conflict("The job is done.")
		}
	}
	if j.State == JobDue && j.Attempts > 0 && j.RunAt.After(t.now) {
		j.MaxAttempts++ // this attempt is one more, after which the pauses go on where they were
	}
	if j.State != JobDue {
		j.MaxAttempts = j.Attempts + kind.MaxAttempts
		if err := t.reopen(o, j, actor); err != nil {
			return err
		}
	}
	j.State, j.Epoch, j.RunAt, j.FinishedAt = JobDue, j.Epoch+1, t.now, nil
	if err := t.Exec(`UPDATE jobs SET state = 'due', epoch = ?, max_attempts = ?, run_at = ?, alarm_at = ?, alarms = 0, finished_at = NULL WHERE id = ?`,
		j.Epoch, j.MaxAttempts, j.RunAt, t.s.dialect.after(t.s, jobs.AlarmAfter(0)), j.ID).Error; err != nil {
		return err
	}
	if o != nil {
		t.note(o, "job.retried", actor, "A job was started again.", map[string]any{"job": j.ID, "job_kind": j.Kind})
	}
	t.handovers = append(t.handovers, j.handover())
	return nil
}

// farAlarm reports whether a job has an alarm beyond the bound of alarms.
func (t *tx) farAlarm(id string) (far bool, err error) {
	return far, t.Raw(`SELECT alarm_at > ? FROM jobs WHERE id = ?`, t.s.dialect.after(t.s, farAlarm), id).Scan(&far).Error
}

// reopen takes back what a job's end meant for the business.
func (t *tx) reopen(o *Order, j *Job, actor string) error {
	switch j.Kind {
	case jobs.KindDeliver:
		return t.reopenDelivery(j.Args.Delivery)
	case jobs.KindSendEmail, jobs.KindReminder:
		var e Email
		if err := t.Where("id = ?", j.Args.Email).Take(&e).Error; err != nil {
			return orNotFound(err, "email")
		}
		if err := t.Model(&Email{}).Where("id = ? AND status = ?", e.ID, EmailFailed).
			Updates(map[string]any{"status": EmailPending, "error": nil, "finished_at": nil}).Error; err != nil {
			return err
		}
		if e.Kind != EmailLicense || e.ItemID == nil {
			return nil
		}
		return t.reopenItem(o, *e.ItemID, actor)
	case jobs.KindFulfil:
		return t.reopenItem(o, j.Args.Item, actor)
	}
	return nil
}

func (t *tx) reopenDelivery(id string) error {
	var gone []string
	err := t.Raw(`SELECT w.id FROM webhook_endpoints w JOIN deliveries d ON d.endpoint_id = w.id WHERE d.id = ? AND w.deleted_at IS NOT NULL`, id).Scan(&gone).Error
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		return conflict("The webhook endpoint was deleted; nothing is sent to it any more.")
	}
	return t.Model(&Delivery{}).Where("id = ?", id).Updates(map[string]any{"status": DeliveryPending, "finished_at": nil}).Error
}

func (t *tx) reopenItem(o *Order, itemID, actor string) error {
	if o == nil {
		return nil
	}
	i := o.item(itemID)
	if i == nil || i.FulfillmentStatus != FulfillmentFailed {
		return nil
	}
	return t.moveItem(o, i, NotDelivered, nil, actor)
}

// CancelJob is an operator's cancel: the job will not be tried again, and what that means for the business happens as if it
// were dead. A running job is refused, because its attempt cannot be called back.
func (s *Store) CancelJob(ctx context.Context, id, actor string) error {
	const reason = "cancelled by an operator"
	if !jobID.MatchString(id) {
		return notFound("job")
	}
	return s.write(ctx, func(t *tx) error {
		var found Job
		if err := t.Where("id = ?", id).Take(&found).Error; err != nil {
			return orNotFound(err, "job")
		}
		var o *Order
		if found.OrderID != nil {
			var err error
			if o, err = t.lockOrder(*found.OrderID); err != nil {
				return err
			}
		}
		j, err := t.lockJob(id)
		if errors.Is(err, errNoJob) {
			return notFound("job")
		}
		if err != nil {
			return err
		}
		switch j.State {
		case JobCancelled:
			return nil
		case JobDue, JobDead:
		default:
			return conflict("The job is %s; it cannot be cancelled.", j.State)
		}
		if j.State == JobDue {
			if j.Kind == jobs.KindDeliver {
				err = t.finishDelivery(j.Args.Delivery, DeliveryCancelled)
			} else {
				err = t.consequence(j.Kind, j.Args, reason, actor)
			}
			if err != nil {
				return err
			}
		}
		if o != nil {
			t.note(o, "job.cancelled", actor, "A job was cancelled.", map[string]any{"job": j.ID, "job_kind": j.Kind})
		}
		r := reason
		return t.Exec(`UPDATE jobs SET state = 'cancelled', finished_at = ?, last_error = COALESCE(last_error, ?) WHERE id = ?`, t.now, r, j.ID).Error
	})
}

// DeadJobs counts the jobs that wait for an operator, for the metrics.
func (s *Store) DeadJobs(ctx context.Context) (n int64, err error) {
	return n, s.read(ctx).Model(&Job{}).Where("state = ?", JobDead).Count(&n).Error
}

// OldestAlarm is how long the alarm that has waited longest is overdue, for the metrics; zero if none is.
func (s *Store) OldestAlarm(ctx context.Context) (time.Duration, error) {
	var oldest []time.Time
	err := s.read(ctx).Model(&Job{}).Where("finished_at IS NULL").Order("alarm_at").Limit(1).Pluck("alarm_at", &oldest).Error
	if err != nil || len(oldest) == 0 {
		return 0, err
	}
	return max(s.now().Sub(oldest[0]), 0), nil
}
