package models_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// wire is a way to PostgreSQL that can fall silent: what goes over the connections that exist then gets lost, and nobody hangs up.
type wire struct {
	net.Listener
	to    string
	lost  atomic.Pointer[sync.Map] // connections that are silent
	conns sync.Map
	all   sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: listener, to: to}
	w.lost.Store(&sync.Map{})
	w.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = conn.Close()
				continue
			}
			w.conns.Store(conn, far)
			w.all.Go(func() { w.carry(conn, far, conn) })
			w.all.Go(func() { w.carry(conn, conn, far) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		w.conns.Range(func(near, far any) bool {
			_ = near.(net.Conn).Close()
			_ = far.(net.Conn).Close()
			return true
		})
		w.all.Wait()
	})
	return w
}

func (w *wire) carry(name, to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if _, silent := w.lost.Load().Load(name); silent {
			if err != nil {
				return // the other end does not learn of it
			}
			continue
		}
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

func (w *wire) silence() {
	silent := &sync.Map{}
	w.conns.Range(func(near, _ any) bool {
		silent.Store(near, true)
		return true
	})
	w.lost.Store(silent)
}

// A process whose network falls silent in the middle of a transaction on an order keeps nobody from the order for long, and goes on by
// itself when the network is back, though none of its connections is of any use.
func TestSilenceOfTheNetwork(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		if s.Embedded() {
			return // it has no network
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o, next := storetest.Order(t, s, shop.Test, "editor", 1), storetest.Order(t, s, shop.Test, "editor", 1)

		options := storetest.Options(s)
		address, err := url.Parse(options.DatabaseURL)
		if err != nil {
			t.Fatal("the database's address is none")
		}
		wire := newWire(t, address.Host)
		address.Host = wire.Addr().String()
		options.DatabaseURL = address.String()
		distant, err := models.Open(ctx, options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = distant.Close() })
		// Several connections wait in its pool while one is in a transaction.
		refusals(t, race(6, func(int) error {
			_, err := distant.Order(ctx, shop.Test, o.ID)
			return err
		}))
		begin := func(s *models.Store, ctx context.Context, id string) error {
			_, err := s.BeginPayment(ctx, shop.Test, id, models.NewPayment{Method: "card", Gateway: "test", Class: "online", Actor: "test"})
			return err
		}
		locked, ended := make(chan struct{}), make(chan error, 1)
		silent, end := context.WithCancel(ctx)
		defer end()
		go func() {
			ended <- distant.Transaction(silent, func(tx context.Context) error {
				if err := begin(distant, tx, o.ID); err != nil {
					return err
				}
				wire.silence()
				close(locked)
				<-silent.Done()
				return silent.Err()
			})
		}()
		select {
		case <-locked:
		case err := <-ended:
			t.Fatal(err)
		}
		for err := begin(s, ctx, o.ID); err != nil; err = begin(s, ctx, o.ID) {
			if !models.Unavailable(err) {
				t.Fatalf("the order is not to be had: %v", err)
			}
		}
		if err := begin(distant, ctx, next.ID); err != nil {
			t.Errorf("the network is back, but: %v", err)
		}
		end()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the transaction that was lost ended with %v", err)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM payments WHERE order_id = $1`, o.ID); n != 1 {
			t.Errorf("the order has %d payments, want the one that was not lost", n)
		}
	})
}
