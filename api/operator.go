package api

import (
	"context"
	"fmt"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// signInForm is what the sign-in page shows.
type signInForm struct {
	CSRF, Next, Email, Problem string
}

// operatorPage is the overview for operators, and the door for everybody else.
func (s *Server) operatorPage(c *fiber.Ctx) error {
	a, err := s.account(c)
	if err != nil {
		return s.refuse(c, err)
	}
	c.Locals(accountKey{}, a)
	switch {
	case a == nil:
		return s.showDoor(c, fiber.StatusOK, signInForm{Next: landing(c.Query("next"))})
	case !a.Operator():
		return s.refuse(c, errStaff) // with the button that ends the session, for those who have both accounts
	}
	if err := s.showOverview(c, a); err != nil {
		return s.refuse(c, err)
	}
	return nil
}

func (s *Server) showDoor(c *fiber.Ctx, status int, f signInForm) error {
	f.CSRF = csrfToken(s.door(c))
	return s.show(c, status, "operator_sign_in", view{Title: "Sign in", Home: "/operator", Width: "narrow", Data: f})
}

// signIn opens a session. The answer to a wrong password and to an email that nobody has is the same, and takes as long.
func (s *Server) signIn(c *fiber.Ctx) error {
	form, err := s.form(c, doorCookie)
	if err != nil {
		return s.refuse(c, err)
	}
	f := signInForm{Next: landing(form.Get("next")), Email: form.Get("email")}
	email := emailKey(f.Email)
	tries, key := s.doors.emails, email
	device := s.device(c, email)
	if device != "" {
		tries, key = s.doors.devices, device
	}
	if wait := max(s.doors.addresses.take(network(requestOf(c).client).String()), tries.take(key)); wait > 0 {
		c.Set(fiber.HeaderRetryAfter, fmt.Sprint(int(wait.Seconds())))
		f.Problem = fmt.Sprintf("Too many attempts. Try again in %s.", inWords(wait))
		return s.showDoor(c, fiber.StatusTooManyRequests, f)
	}
	token, _, err := s.store.SignInOperator(c.UserContext(), f.Email, form.Get("password"))
	if models.CodeOf(err) == models.CodeUnauthorized {
		f.Problem = "The email or the password is wrong."
		return s.showDoor(c, fiber.StatusUnauthorized, f)
	}
	if err != nil {
		return s.refuse(c, err)
	}
	if tries.forgive(key); device == "" {
		s.rememberDevice(c, email)
	}
	if old := s.cookie(c, sessionCookie); old != "" {
		if err := s.store.SignOut(c.UserContext(), old); err != nil {
			return s.refuse(c, err)
		}
	}
	s.setCookie(c, sessionCookie, token, int(models.SessionLifetime.Seconds()))
	s.setCookie(c, doorCookie, "", 0)
	return c.Redirect(f.Next, fiber.StatusSeeOther)
}

// signOut ends the session, of staff as well as of operators. Without one there is nothing left to end.
func (s *Server) signOut(c *fiber.Ctx) error {
	token := s.cookie(c, sessionCookie)
	if token != "" {
		if _, err := s.form(c, sessionCookie); err != nil {
			return s.refuse(c, err)
		}
		if err := s.store.SignOut(c.UserContext(), token); err != nil {
			return s.refuse(c, err)
		}
	}
	s.setCookie(c, sessionCookie, "", 0)
	return c.Redirect("/operator", fiber.StatusSeeOther)
}

// retryJob starts a dead job again: the way that works even when the queue has lost the task.
func (s *Server) retryJob(c *fiber.Ctx) error {
	if _, err := s.form(c, sessionCookie); err != nil {
		return err
	}
	if err := s.store.RetryJob(c.UserContext(), c.Params("id"), accountOf(c).Actor()); err != nil {
		return err
	}
	return c.Redirect("/operator", fiber.StatusSeeOther)
}

// deadShown is how many dead jobs the overview lists.
const deadShown = 50

type overview struct {
	Email, CSRF  string
	Admin        bool
	QueueDown    bool
	Overdue      float64 // seconds
	Counts       []tile
	Dead         []deadJob
	MoreDead     bool
	Destinations []destination
}

type tile struct {
	Label string
	N     int64
	Alarm bool
}

type deadJob struct {
	ID, Kind, Error, URL string
	At                   time.Time
	Attempts             int
}

type destination struct{ Label, URL, About string }

func (s *Server) showOverview(c *fiber.Ctx, a *models.Account) error {
	ctx := c.UserContext()
	o := overview{Email: a.Email, Admin: a.Role == models.RoleAdmin, CSRF: csrfToken(s.cookie(c, sessionCookie)), QueueDown: !s.queueAnswers(ctx)}
	overdue, err := s.store.OldestAlarm(ctx)
	if err != nil {
		return err
	}
	o.Overdue = overdue.Seconds()
	counts, err := s.store.JobCounts(ctx)
	if err != nil {
		return err
	}
	o.Counts = []tile{
		{"Due now", counts.Due, false}, {"Waiting for their time", counts.Waiting, false}, {"Running", counts.Running, false},
		{"Dead", counts.Dead, counts.Dead > 0},
	}
	dead, err := s.store.Jobs(ctx, models.JobFilter{State: models.JobDead, Limit: deadShown + 1})
	if err != nil {
		return err
	}
	if o.MoreDead = len(dead) > deadShown; o.MoreDead {
		dead = dead[:deadShown]
	}
	for i := range dead {
		o.Dead = append(o.Dead, describeDead(&dead[i]))
	}
	o.Destinations = s.destinations()
	return s.show(c, fiber.StatusOK, "operator", s.operatorView(c, "Overview", a, o))
}

func describeDead(j *models.Job) deadJob {
	d := deadJob{ID: j.ID, Kind: j.Kind, Attempts: j.Attempts, URL: queueScreensPath}
	if j.FinishedAt != nil {
		d.At = *j.FinishedAt
	}
	if j.LastError != nil {
		d.Error = *j.LastError
	}
	if kind, err := jobs.KindOf(j.Kind); err == nil {
		d.URL = queueScreensPath + "/queues/" + string(kind.Queue) + "?status=archived"
	}
	return d
}

func (s *Server) destinations() []destination {
	out := []destination{{"Queues", queueScreensPath, "Asynqmon: what waits, runs and failed, and running it again"}}
	if s.Mailbox {
		out = append(out, destination{"Mailbox", "/mailbox", "Every email that was sent"})
	}
	if s.Demo {
		out = append(out, destination{"Webhook receiver", "/demo/webhooks", "What the demo merchant's server is told"})
	}
	return append(out, destination{"API", "/docs", "The JSON API's reference"})
}

// queueAnswers reports whether Redis is there, without waiting long for one that hangs.
func (s *Server) queueAnswers(ctx context.Context) bool {
	if s.redis == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return s.redis.Ping(ctx).Err() == nil
}

// inWords is a duration for people: seconds up to a minute and a half, then minutes.
func inWords(d time.Duration) string {
	if d > 90*time.Second {
		return fmt.Sprintf("%d minutes", int((d+time.Minute-1)/time.Minute))
	}
	if d == time.Second {
		return "1 second"
	}
	return fmt.Sprintf("%d seconds", int(d.Seconds()))
}
