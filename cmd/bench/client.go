package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// client asks one purser over HTTP. It costs little, so that what is measured is not the measuring.
type client struct {
	http *fasthttp.HostClient
	base string
	key  string
}

func newClient(address, key string) *client {
	return &client{
		http: &fasthttp.HostClient{Addr: address, MaxConns: 1024, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, MaxIdleConnDuration: time.Minute},
		base: "http://" + address, key: key,
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// do sends one request, and returns the body of an answer with the wanted status.
func (c *client) do(method, path string, body []byte, want int) ([]byte, error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.Header.SetMethod(method)
	req.SetRequestURI(c.base + path)
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if body != nil {
		req.Header.SetContentType("application/json")
		req.SetBodyRaw(body)
	}
	if err := c.http.Do(req, resp); err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode() != want {
		return nil, fmt.Errorf("%s %s: status %d: %.300s", method, path, resp.StatusCode(), resp.Body())
	}
	return append([]byte(nil), resp.Body()...), nil
}

// post sends a JSON body and reads the answer into out, if that is not nil.
func (c *client) post(path string, in, out any, want int) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := c.do("POST", path, body, want)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// crowd lets n goroutines call fn one call after the other for a while, and returns how many calls there were a second. The first
// error ends it.
func crowd(ctx context.Context, n int, lasting time.Duration, fn func(context.Context) error) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, lasting)
	defer cancel()
	var calls atomic.Int64
	var first error
	var once sync.Once
	var all sync.WaitGroup
	began := time.Now()
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := fn(context.WithoutCancel(ctx)); err != nil {
					once.Do(func() { first = err; cancel() })
					return
				}
				calls.Add(1)
			}
		})
	}
	all.Wait()
	return float64(calls.Load()) / time.Since(began).Seconds(), first
}
