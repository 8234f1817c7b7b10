package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	pageTarget = 20 * time.Millisecond
	pageViews  = 100 // of each; purser has a limit on how often one address may see the same order
)

// What the demo sells, and who.
const demoSlug, demoSKU = "demo", "editor-pro"

// measurePages asks for the customers' pages of an embedded demo, one at a time as a browser does; the baseline is the same bytes from
// memory by net/http.
func measurePages(ctx context.Context, b *bench) (err error) {
	i, err := b.installEmbedded()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.close()) }()
	p, err := i.start(ctx, "run", "--demo")
	if err != nil {
		return err
	}
	s, err := visit(ctx, i, p)
	if err != nil {
		return err
	}
	for _, page := range s.pages {
		body, err := s.get(ctx, s.base+page.path)
		if err != nil {
			return err
		}
		bare, stop, err := serveBytes(body)
		if err != nil {
			return err
		}
		var got, base []time.Duration
		for range pageViews {
			for _, side := range []struct {
				address string
				into    *[]time.Duration
			}{{s.base + page.path, &got}, {bare, &base}} {
				began := time.Now()
				if _, err := s.get(ctx, side.address); err != nil {
					return err
				}
				*side.into = append(*side.into, time.Since(began))
			}
		}
		stop()
		b.table.add(row{
			what: page.name + ", embedded stores, p50 / p99; baseline: the same bytes from memory", measured: spread(got), baseline: spread(base),
			ratio:  ratio(float64(percentile(got, 0.5)), float64(percentile(base, 0.5))),
			target: "p50 < 20 ms", met: percentile(got, 0.5) < pageTarget,
		})
	}
	return nil
}

// visitor is a browser without a screen.
type visitor struct {
	http  http.Client
	base  string
	pages []struct{ name, path string }
}

// visit fills a cart and pays an order, and returns the pages that a customer sees on the way.
func visit(ctx context.Context, i *installation, p *process) (*visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	v := &visitor{base: "http://" + p.address, http: http.Client{Jar: jar, Timeout: 30 * time.Second}}
	seed, err := os.ReadFile(filepath.Join(i.dir, "data", "demo.json"))
	if err != nil {
		return nil, err
	}
	var demo struct {
		Key string `json:"api_key_test"`
	}
	if err := json.Unmarshal(seed, &demo); err != nil {
		return nil, err
	}
	c := newClient(p.address, demo.Key)
	defer c.close()
	unpaid, err := c.order(demoSKU)
	if err != nil {
		return nil, err
	}
	paid, err := c.order(demoSKU)
	if err != nil {
		return nil, err
	}
	if err := c.pay(paid.ID); err != nil {
		return nil, err
	}
	add := func(name, address string) error {
		u, err := url.Parse(address)
		v.pages = append(v.pages, struct{ name, path string }{name, u.RequestURI()})
		return err
	}
	if _, err := v.get(ctx, v.base+"/buy/"+demoSlug+"/"+demoSKU); err != nil {
		return nil, err
	}
	return v, errors.Join(
		add("checkout link and the page behind it", v.base+"/buy/"+demoSlug+"/"+demoSKU), add("checkout page", v.base+"/checkout/"+demoSlug),
		add("payment page", unpaid.PaymentURL), add("order page", paid.OrderURL), add("demo storefront", v.base+"/demo"),
	)
}

func (v *visitor) get(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/html")
	resp, err := v.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: status %d: %.300s", req.URL.Path, resp.StatusCode, body)
	}
	return body, err
}

// serveBytes answers every request with the same body.
func serveBytes(body []byte) (address string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(body) // the client notices
	})}
	go func() { _ = server.Serve(ln) }() // ends with Close
	return "http://" + ln.Addr().String() + "/", func() { _ = server.Close() }, nil
}
