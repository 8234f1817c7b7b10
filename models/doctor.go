package models

import (
	"context"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/purser-dev/purser/jobs"
)

// Report is what Doctor has found.
type Report struct {
	OK        bool      `json:"ok"`
	CheckedAt time.Time `json:"checked_at"`
	Findings  []Finding `json:"findings"`
}

// Finding is one way in which an invariant is broken.
type Finding struct {
	// Invariant is the number of the invariant, as in this list: 1 every paid item is delivered, has a live promise or waits
	// visibly; 2 no key is on two units and none returns to its pool; 3 every fact has its event, every event its deliveries, and each of
	// them is finished or has a live promise; 4 the money and the uses of coupons add up; 5 no promise has an alarm beyond its bound or is
	// due beyond it; 6 no row refers to another merchant's.
	Invariant int      `json:"invariant"`
	Problem   string   `json:"problem"`
	IDs       []string `json:"ids"`  // at most 100 of them
	More      bool     `json:"more"` // there are more than 100
	Mend      string   `json:"mend"` // the command or the action that mends it
}

// foundBound is how many ids a finding names.
const foundBound = 100

// doctor runs checks on one snapshot of the database.
type doctor struct {
	s      *Store
	db     *gorm.DB
	now    time.Time
	report *Report
}

// Doctor checks what must always hold in the database, whatever was killed and whenever. It reads one snapshot and changes
// nothing. The error is for a database that cannot be asked; what is broken is in the report.
func (s *Store) Doctor(ctx context.Context) (Report, error) {
	report := Report{CheckedAt: s.now(), Findings: []Finding{}}
	err := s.snapshot(ctx, func(db *gorm.DB) error {
		d := doctor{s, db, report.CheckedAt, &report}
		for _, check := range doctorChecks {
			if err := d.sql(check); err != nil {
				return err
			}
		}
		for _, check := range ownershipChecks() {
			if err := d.sql(check); err != nil {
				return err
			}
		}
		if err := d.alarms(); err != nil {
			return err
		}
		return d.subscriptions()
	})
	report.OK = len(report.Findings) == 0
	return report, err
}

// Unpromised returns those of the ids that no promise has, each once: for the queue's half of invariant 5. It takes a thousand or so at
// a time.
func (s *Store) Unpromised(ctx context.Context, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var known []string
	if err := s.read(ctx).Model(&Job{}).Where("id IN ?", ids).Pluck("id", &known).Error; err != nil {
		return nil, err
	}
	missing := slices.Compact(slices.Sorted(slices.Values(ids)))
	slices.Sort(known)
	return slices.DeleteFunc(missing, func(id string) bool {
		_, ok := slices.BinarySearch(known, id)
		return ok
	}), nil
}

// doctorCheck is a query for the ids of what is broken.
type doctorCheck struct {
	invariant     int
	problem, mend string
	query         string
	mender        mender // nil for what needs a person
	order         string // a query for the order whose lock mender needs, by the id; empty for none
}

func (d *doctor) sql(c doctorCheck, args ...any) error {
	var ids []string
	if err := d.db.Raw(c.query+" LIMIT ?", append(args, foundBound+1)...).Scan(&ids).Error; err != nil {
		return err
	}
	if len(ids) > 0 {
		d.found(c.invariant, c.problem, c.mend, ids)
	}
	return nil
}

func (d *doctor) found(invariant int, problem, mend string, ids []string) {
	more := len(ids) > foundBound
	d.report.Findings = append(d.report.Findings, Finding{invariant, problem, ids[:min(len(ids), foundBound)], more, mend})
}

const (
	// lateAlarm is how long after its alarm a promise may be found. The relay looks every second.
	lateAlarm = time.Minute
	// farAlarm is more than the longest lease, and than the longest pause between two alarms.
	farAlarm = 10 * time.Minute
)

// alarms is the database's half of invariant 5.
func (d *doctor) alarms() error {
	at := func(delay time.Duration) any { return d.s.dialect.after(d.s, delay) }
	if err := d.sql(doctorCheck{
		5, "the alarm of an unfinished promise went off more than a minute ago and nobody has looked", "start a scheduler: purser scheduler (or purser run)",
		`SELECT id FROM jobs WHERE finished_at IS NULL AND alarm_at < ?`,
		nil, "",
	}, at(-lateAlarm)); err != nil {
		return err
	}
	// What is due later has its alarm behind that time; the bound of the database's clock is for all others.
	behind := d.s.dialect.epoch("alarm_at") + " - " + d.s.dialect.epoch("run_at")
	if err := d.sql(doctorCheck{
		5, "the alarm of an unfinished promise is set too far in the future to bring it back", "purser jobs retry JOB_ID, which winds the alarm up again",
		`SELECT id FROM jobs WHERE finished_at IS NULL AND alarm_at > ? AND (state = 'running' OR ` + behind + ` > ?)`,
		nil, "",
	}, at(farAlarm), int(farAlarm.Seconds())); err != nil {
		return err
	}
	return d.horizons(at)
}

// horizons finds what is due so late that nobody can have meant it, so that its alarm, which is later still, brings nothing back.
func (d *doctor) horizons(at func(time.Duration) any) error {
	var beyond []string
	var args []any
	for _, k := range jobs.Kinds { // another version's kinds have bounds that only it knows
		beyond = append(beyond, "kind = ? AND run_at > ?")
		args = append(args, k.Name, at(k.Horizon))
	}
	return d.sql(doctorCheck{
		5, "an unfinished promise is due later than any of its kind can be", "purser jobs retry JOB_ID, which makes it due now",
		`SELECT id FROM jobs WHERE finished_at IS NULL AND state = 'due' AND (` + strings.Join(beyond, " OR ") + `)`,
		nil, "",
	}, args...)
}

// settled is how long an endpoint must have been as it is before the events after that are expected to have a delivery to it. A
// transaction that began before the endpoint was there may commit an event that is stamped later.
const settled = time.Minute

// subscriptions is invariant 3 for the events that an endpoint should have been told of.
func (d *doctor) subscriptions() error {
	var all []WebhookEndpoint
	if err := d.db.Where("deleted_at IS NULL AND status = ?", endpointEnabled).Order("id").Find(&all).Error; err != nil {
		return err
	}
	var missing []string
	for i := range all {
		w := &all[i]
		var kinds []string
		since := w.UpdatedAt.Add(settled)
		if err := d.db.Raw(`SELECT DISTINCT type FROM events WHERE merchant_id = ? AND test = ? AND created_at > ?`, w.MerchantID, w.Test, since).Scan(&kinds).Error; err != nil {
			return err
		}
		var wanted []string
		for _, kind := range kinds {
			if kind != EventEndpointTest && w.wants(kind) {
				wanted = append(wanted, kind)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		var ids []string
		if err := d.db.Raw(`SELECT e.id FROM events e WHERE e.merchant_id = ? AND e.test = ? AND e.created_at > ? AND e.type IN ?
			AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = e.id AND d.endpoint_id = ?) ORDER BY e.id LIMIT ?`,
			w.MerchantID, w.Test, since, wanted, w.ID, foundBound+1).Scan(&ids).Error; err != nil {
			return err
		}
		if missing = append(missing, ids...); len(missing) > foundBound {
			break
		}
	}
	if len(missing) > 0 {
		d.found(3, "an event has no delivery to an endpoint that was subscribed to it", "report it as a bug; the merchant can read the event at GET /v1/events/{id}", missing)
	}
	return nil
}
