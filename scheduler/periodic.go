package scheduler

import (
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
)

// startPeriodic registers the periodic kinds with Asynq's scheduler, which shows them on the dashboard and enqueues their ticks. A tick
// only asks whether there is anything to do; the promise that it stages is unique for the kind and period, so several schedulers
// never double it, and what it does is found from the tables, so a tick that was missed loses nothing.
func (s *Scheduler) startPeriodic() error {
	s.ticks = s.Redis.Client()
	s.periodic = asynq.NewSchedulerFromRedisClient(s.ticks, &asynq.SchedulerOpts{
		HeartbeatInterval: 5 * time.Second,
		LogLevel:          asynq.FatalLevel, // it logs every tick that another scheduler's made needless
		PostEnqueueFunc: func(_ *asynq.TaskInfo, err error) {
			if err != nil {
				s.Log.Debug("a tick was not enqueued", "err", err)
			}
		},
	})
	for _, k := range jobs.Kinds {
		if k.Every == 0 {
			continue
		}
		task, opts := jobs.TickTask(k)
		if _, err := s.periodic.Register(fmt.Sprintf("@every %s", k.Every), task, opts...); err != nil {
			return err
		}
	}
	return s.periodic.Start()
}
