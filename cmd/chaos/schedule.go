package main

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A scene is one or several faults at a time, with the customers who come meanwhile.
type scene struct {
	faults []fault
}

// fault is one fault of the schedule: a kind with everything that chance decides.
type fault struct {
	kind
	role  string        // whose processes or lines it is about, where the kind asks for one
	pick  int           // which of them, where it is about one
	after time.Duration // how long after the scene's beginning
	lasts time.Duration
}

func (s *scene) name() string {
	names := make([]string, len(s.faults))
	for i, f := range s.faults {
		names[i] = strings.ReplaceAll(f.kind.name, "ROLE", f.role)
	}
	return strings.Join(names, " + ")
}

// any reports whether a fault of the scene is of a group.
func (s *scene) any(groups ...string) bool {
	return slices.ContainsFunc(s.faults, func(f fault) bool { return slices.Contains(groups, f.group) })
}

// felt reports whether who orders may feel the scene: a process is broken, or the database, which no order can be taken without. Redis and
// the servers outside are nothing that an order waits for.
func (s *scene) felt() bool { return s.any(processes, database, dataLine) }

// measured reports whether the speed of orders is measured: where Redis is broken, and nothing is that no order can be taken without. The
// faults last until the measuring is done.
func (s *scene) measured() bool { return s.any(redisGroup, redisLine) && !s.felt() }

// lasts is how long it is until the last fault is over.
func (s *scene) lasts() (d time.Duration) {
	for _, f := range s.faults {
		d = max(d, f.after+f.lasts)
	}
	return d
}

var roles = []string{"api", "worker", "scheduler"}

// stormEvery is how many single faults there are between two storms, in which three come together.
const stormEvery = 8

// schedule is the first n scenes that a seed makes; 0 means each kind once, with the storms between them. Of the endless sequence of
// scenes every round has every kind once. Where only some kinds are wanted there are no storms.
func schedule(seed uint64, n int, only *regexp.Regexp) (scenes []scene) {
	wanted := kinds
	if only != nil {
		wanted = slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return !only.MatchString(k.name) })
	}
	r := rand.New(rand.NewPCG(seed, 1<<63))
	for {
		for i, k := range r.Perm(len(wanted)) {
			scenes = append(scenes, scene{[]fault{newFault(r, wanted[k])}})
			if only == nil && (i+1)%stormEvery == 0 {
				scenes = append(scenes, storm(r))
			}
			if len(scenes) >= n && n > 0 {
				return scenes[:n]
			}
		}
		if n == 0 || len(scenes) == 0 {
			return scenes
		}
	}
}

func newFault(r *rand.Rand, k kind) fault {
	f := fault{kind: k, pick: r.IntN(1 << 20), lasts: k.lasts[0]}
	f.role = roles[r.IntN(len(roles))]
	if span := k.lasts[1] - k.lasts[0]; span > 0 {
		f.lasts += time.Duration(r.Int64N(int64(span))).Truncate(100 * time.Millisecond)
	}
	return f
}

// storm is three faults of different groups that overlap.
func storm(r *rand.Rand) scene {
	var s scene
	for len(s.faults) < 3 {
		k := kinds[r.IntN(len(kinds))]
		if s.any(k.group) || k.alone {
			continue
		}
		f := newFault(r, k)
		f.after = time.Duration(r.IntN(40)) * 100 * time.Millisecond
		s.faults = append(s.faults, f)
	}
	return s
}

// shortSchedule is for a test: a few kinds, all of them quick, in an order that the seed decides.
func shortSchedule(seed uint64) (scenes []scene) {
	r := rand.New(rand.NewPCG(seed, 1<<63))
	for _, i := range r.Perm(len(kinds)) {
		if k := kinds[i]; k.short > 0 {
			f := newFault(r, k)
			f.lasts = min(f.lasts, k.short)
			scenes = append(scenes, scene{[]fault{f}})
		}
	}
	return scenes
}

// refuses554 reports whether the mail server ever refuses an email for good. Then items fail, and somebody has to be told.
func refuses554(scenes []scene) bool {
	return slices.ContainsFunc(scenes, func(s scene) bool {
		return slices.ContainsFunc(s.faults, func(f fault) bool { return f.name == neverMails })
	})
}
