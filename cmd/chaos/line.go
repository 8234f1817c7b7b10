package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// line is the wire between the processes of one role and a store: a relay for TCP that can be slow, cut, or silent.
type line struct {
	name    string
	address string // where the role finds the store
	store   string // the store's socket

	mu       sync.Mutex
	listener net.Listener // nil while connections are refused
	ends     map[*link]bool
	delay    time.Duration // for each packet, half to all of it, in each direction
	silent   bool          // bytes get lost, in both directions
	closed   bool
	all      sync.WaitGroup
}

// link is one connection through a line.
type link struct {
	role, store net.Conn // store is nil until it is reached
	// dead is set once bytes have got lost: such a connection never speaks again, and neither end learns that the other has hung up.
	dead bool
}

// newLine listens on a free port.
func newLine(name, store string) (*line, error) {
	l := &line{name: name, store: store, ends: map[*link]bool{}}
	listener, err := listen()
	if err != nil {
		return nil, err
	}
	l.address = listener.Addr().String()
	l.serve(listener)
	return l, nil
}

// listen takes a port of the loopback. It is below those that systems hand out by themselves, so that nobody gets it while its owner
// refuses connections.
func listen() (listener net.Listener, err error) {
	for range 100 {
		if listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))); err == nil {
			return listener, nil
		}
	}
	return nil, err
}

func (l *line) serve(listener net.Listener) {
	l.mu.Lock()
	l.listener = listener
	l.mu.Unlock()
	l.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.all.Go(func() { l.connect(conn) })
		}
	})
}

// connect joins a role's connection to the store.
func (l *line) connect(role net.Conn) {
	k := &link{role: role}
	l.mu.Lock()
	if l.closed || l.listener == nil {
		l.mu.Unlock()
		_ = role.Close()
		return
	}
	l.ends[k] = true
	k.dead = l.silent
	l.mu.Unlock()
	store, err := net.Dial("unix", l.store)
	l.mu.Lock()
	if err != nil {
		delete(l.ends, k)
		l.mu.Unlock()
		_ = role.Close()
		return
	}
	k.store = store
	l.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { l.carry(k, store, role) })
	both.Go(func() { l.carry(k, role, store) })
	both.Wait()
	l.mu.Lock()
	delete(l.ends, k)
	l.mu.Unlock()
}

type packet struct {
	due   time.Time
	bytes []byte
}

// carry takes bytes from one end to the other, in order and each with its delay. The end of one end is the end of both, unless the
// link is dead: then it stays open until the line is closed.
func (l *line) carry(k *link, to, from net.Conn) {
	packets := make(chan packet, 1024)
	var writing sync.WaitGroup
	writing.Go(func() {
		for p := range packets {
			if wait := time.Until(p.due); wait > 0 {
				time.Sleep(wait)
			}
			if _, err := to.Write(p.bytes); err != nil {
				_ = from.Close() // which ends the reading
			}
		}
	})
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		delay, dead := l.weather(k)
		if n > 0 && !dead {
			packets <- packet{time.Now().Add(delay), append([]byte(nil), buffer[:n]...)}
		}
		if err != nil {
			break
		}
	}
	close(packets)
	writing.Wait()
	_ = from.Close()
	if _, dead := l.weather(k); !dead {
		_ = to.Close()
	}
}

// weather is what happens to a packet now.
func (l *line) weather(k *link) (delay time.Duration, dead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent {
		k.dead = true
	}
	if l.delay > 0 {
		delay = l.delay/2 + rand.N(l.delay/2)
	}
	return delay, k.dead
}

// slow delays every packet from now on; 0 is as fast as it goes.
func (l *line) slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

// silence lets bytes get lost from now on, without a word to either end.
func (l *line) silence(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = on
}

// cut breaks every connection there is, with a reset to both ends.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range l.ends {
		k.reset()
	}
}

func (k *link) reset() {
	if tcp, ok := k.role.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = k.role.Close()
	if k.store != nil {
		_ = k.store.Close()
	}
}

// refuse lets nobody connect any more, and cuts those who are.
func (l *line) refuse() {
	l.mu.Lock()
	if l.listener != nil {
		_ = l.listener.Close()
		l.listener = nil
	}
	l.mu.Unlock()
	l.cut()
}

// accept lets everybody connect again, at the same address.
func (l *line) accept() error {
	l.mu.Lock()
	open := l.listener != nil
	l.mu.Unlock()
	if open {
		return nil
	}
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		return err
	}
	l.serve(listener)
	return nil
}

// close ends the line and everything on it.
func (l *line) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.refuse()
	l.all.Wait()
}
