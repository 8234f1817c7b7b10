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
