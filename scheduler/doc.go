// Package scheduler decides when: the relay hands promises over again whose alarm has gone off (relay.go), and the periodic kinds
// get their ticks (periodic.go). It performs nothing itself. Any number of schedulers may run at once, and none of them leads.
package scheduler
