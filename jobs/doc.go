// Package jobs names and enqueues: the table of job kinds (kinds.go), the task that stands for a promise in Redis, and the
// publisher that hands promises over after their transaction has committed.
//
// It knows nothing of orders or of the database. PostgreSQL remembers what has to be done; Redis, through this package, only
// runs it. Losing everything that this package ever enqueued therefore loses nothing.
package jobs
