// Package handlers performs: what happens when a job runs, in Asynq's sense of the word. worker.go takes tasks from the queues
// and turns each into one attempt at a promise (attempt.go); every other file performs one kind of job.
//
// A performer looks at the state, talks to one outside system through a leaf package, and returns how its result is to be
// written. It never writes anything itself, so that the result, what follows from it and the end of the promise are one
// transaction in models.
package handlers
