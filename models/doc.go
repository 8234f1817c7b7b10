// Package models remembers: the entities, their state machines, the transactions that move them, the schema, and the promises.
//
// Every exported method of Store that changes something is one transaction, which writes the new state, what happened (history
// and events) and the work that follows from it (promises) together. What it stages is handed to the publisher after the commit.
// The files are named for their noun: order.go has the entity, order_state.go the pure table of moves, order_moves.go the
// transactions.
//
// Lock order, which every transaction keeps: orders by their ids, then a product, then the counters of coupons by their ids, then keys of
// the pool by theirs, then the job's own row, then its delivery. What locks a product first (an upload, a change of the catalogue) locks no
// order. Whoever works on many orders or jobs at once, as the relay and the periodic work do, skips those that others hold.
package models
