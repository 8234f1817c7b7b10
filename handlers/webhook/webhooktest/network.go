// Package webhooktest has what tests need to prove that nothing is sent to where it must not go: the addresses, in every way of
// writing them, a name server that lies, and a record of what was dialled.
package webhooktest

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var errNotInTests = errors.New("tests do not dial the internet")

// Dials records what a Sender was about to dial and, but for Open, keeps it from being dialled. The zero value is ready.
type Dials struct {
	Open []netip.AddrPort // servers of the test; set before the first use

	mu   sync.Mutex
	seen []netip.AddrPort
}

// Connecting is for the Sender's configuration.
func (d *Dials) Connecting(to netip.AddrPort) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, to)
	if slices.Contains(d.Open, to) {
		return nil
	}
	return errNotInTests
}

// All returns what was recorded, in the order in which it came.
func (d *Dials) All() []netip.AddrPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.seen)
}

// Resolver answers every name by answer, which gets the name and how often that
// name's A record was asked for before. No address means NXDOMAIN.
func Resolver(t testing.TB, answer func(name string, asked int) []netip.Addr) *net.Resolver {
	t.Helper()
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		serveDNS(conn, answer)
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-served
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func serveDNS(conn net.PacketConn, answer func(string, int) []netip.Addr) {
	const typeA, typeAAAA = 1, 28
	asked := map[string]int{}
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		query := buf[:n]
		var labels []string
		end := 12
		for query[end] != 0 {
			length := int(query[end])
			labels = append(labels, string(query[end+1:end+1+length]))
			end += 1 + length
		}
		kind := binary.BigEndian.Uint16(query[end+1:])
		question := query[12 : end+5]
		name := strings.ToLower(strings.Join(labels, "."))
		addresses := answer(name, asked[name])
		if kind == typeA {
			asked[name]++
		}

		reply := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
		if len(addresses) == 0 {
			reply[3] |= 3 // NXDOMAIN
		}
		for _, ip := range addresses {
			if (kind == typeA && ip.Is4()) || (kind == typeAAAA && ip.Is6()) {
				data := ip.AsSlice()
				reply = append(reply, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(data)))
				reply = append(reply, data...)
				reply[7]++
			}
		}
		_, _ = conn.WriteTo(reply, from)
	}
}
