// Package api answers: the JSON API of the merchants' servers and the pages of their customers, over HTTP.
//
// It is thin on purpose. An operation reads its input, calls one method of models, and returns what that method returned. What
// all operations share is in front of them, in this order: request.go (id, log, panic), auth.go (whose key), body.go and json.go
// (what may come in), idempotency.go (once, however often it is asked for). Huma validates input by the types' tags and writes
// the OpenAPI document from them. Every error leaves through problem.go.
//
// routes.go has every route on one screen.
package api
