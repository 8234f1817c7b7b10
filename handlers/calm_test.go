package handlers_test

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/jobs"
)

// fullRedis refuses every command, as one does whose memory is full, and notes when it was asked for a task of the emails.
type fullRedis struct {
	net.Listener
	mu    sync.Mutex
	asked []time.Time
}

func newFullRedis(b *bench) *fullRedis {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	f := &fullRedis{Listener: listener}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { f.refuse(conn) })
		}
	})
	b.Cleanup(func() { // after the worker, whose connections are its own to close
		_ = listener.Close()
		all.Wait()
	})
	return f
}

func (f *fullRedis) refuse(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	number := func() (n int, err error) {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	for {
		words, err := number()
		if err != nil {
			return
		}
		var said strings.Builder
		for range words {
			length, err := number()
			if err != nil {
				return
			}
			word := make([]byte, length+2)
			if _, err := io.ReadFull(in, word); err != nil {
				return
			}
			said.Write(word)
		}
		if strings.Contains(said.String(), "asynq:{email}:pending") {
			f.mu.Lock()
			f.asked = append(f.asked, time.Now())
			f.mu.Unlock()
		}
		if _, err := io.WriteString(conn, "-OOM command not allowed when used memory > 'maxmemory'.\r\n"); err != nil {
			return
		}
	}
}

func (f *fullRedis) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Time(nil), f.asked...)
}

func TestAWorkerDoesNotPesterARedisThatIsFull(t *testing.T) {
	each(t, func(b *bench) {
		full := newFullRedis(b)
		address, err := jobs.ParseRedisURL("redis://" + full.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.work(func(c *handlers.Config) { c.Redis, c.Queues = address, map[jobs.Queue]int{jobs.Email: 1} })
		b.eventually("it has asked for tasks several times", func() bool { return len(full.times()) > 5 })
		// A slow machine makes the pauses longer, never shorter.
		asked := full.times()
		if pause := asked[len(asked)-1].Sub(asked[0]) / time.Duration(len(asked)-1); pause < 50*time.Millisecond {
			b.Errorf("it asks every %s", pause)
		}
	})
}
