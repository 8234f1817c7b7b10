package main

import (
	"reflect"
	"testing"
)

func TestASeedDecidesFaultsAndCustomers(t *testing.T) {
	t.Parallel()
	told := func(seed uint64) (names []string, plans []plan) {
		for _, s := range schedule(seed, 0, nil) {
			names = append(names, s.name(), s.lasts().String())
		}
		for n := range 50 {
			plans = append(plans, planOf(seed, n))
		}
		return names, plans
	}
	names, plans := told(7)
	again, same := told(7)
	if !reflect.DeepEqual(names, again) || !reflect.DeepEqual(plans, same) {
		t.Error("the same seed makes another trial")
	}
	if others, _ := told(8); reflect.DeepEqual(names, others) {
		t.Error("another seed makes the same trial")
	}
	seen := map[string]int{}
	for _, s := range schedule(7, 0, nil) {
		if len(s.faults) == 1 {
			seen[s.faults[0].kind.name]++
		}
	}
	for _, k := range kinds {
		if seen[k.name] != 1 {
			t.Errorf("%s happens %d times in a round", k.name, seen[k.name])
		}
	}
}

// TestOnlyWhatCanBeMeasuredIsMeasured: who measures the speed of orders while none can be taken holds the fault up until the customers
// despair.
func TestOnlyWhatCanBeMeasuredIsMeasured(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		groups []string
		want   bool
	}{
		{[]string{redisGroup}, true},
		{[]string{redisLine}, true},
		{[]string{redisLine, mailServer, merchant}, true},
		{[]string{mailServer}, false},
		{[]string{redisGroup, dataLine}, false},
		{[]string{redisLine, database}, false},
		{[]string{processes, merchant, redisGroup}, false},
	} {
		s := scene{}
		for _, group := range c.groups {
			s.faults = append(s.faults, fault{kind: kind{group: group}})
		}
		if got := s.measured(); got != c.want {
			t.Errorf("a scene of %q is measured: %v", c.groups, got)
		}
	}
}
