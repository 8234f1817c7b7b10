// Package models remembers: the entities, their state machines, the transactions that move them, the schema, and the promises.
//
// Every exported method of Store that changes something is one transaction, which writes the new state, what happened (history
// and events) and the work that follows from it (promises) together. What it stages is handed to the publisher after the commit.
// The files are named for their noun: order.go has the entity, order_state.go the pure table of moves, order_moves.go the
// transactions.
//
// Lock order, which every transaction keeps: product row, or order row, then items and keys, then the job's own row. No
// transaction locks a product after an order except allocation from a pool, which is why filling a pool locks them one by one.
package models
