package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// receiver is a merchant's server: it answers every webhook with 204 and tells of it.
type receiver struct {
	address  string
	url      string
	server   *fasthttp.Server
	received atomic.Int64
}

// receive begins to listen. told, which may be nil, gets each body while it is valid: until told returns.
func receive(told func(body []byte)) (*receiver, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{address: ln.Addr().String(), url: "http://" + ln.Addr().String() + "/hooks"}
	r.server = &fasthttp.Server{Handler: func(c *fasthttp.RequestCtx) {
		r.received.Add(1)
		if told != nil {
			told(c.Request.Body())
		}
		c.SetStatusCode(fasthttp.StatusNoContent)
	}}
	go func() { _ = r.server.Serve(ln) }() // ends with close
	return r, nil
}

func (r *receiver) close() { _ = r.server.Shutdown() }

// hang accepts connections and never answers.
type hang struct {
	ln    net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func hangUp() (*hang, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hang{ln: ln}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns = append(h.conns, c)
			h.mu.Unlock()
		}
	}()
	return h, nil
}

func (h *hang) address() string { return h.ln.Addr().String() }

func (h *hang) close() {
	_ = h.ln.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		_ = c.Close()
	}
}

// mailServer takes every email and tells whom it was for and what it said.
type mailServer struct {
	ln    net.Listener
	told  func(recipient string, content []byte)
	taken atomic.Int64
}

// takeMail begins to take emails at an address.
func takeMail(address string, told func(recipient string, content []byte)) (*mailServer, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	m := &mailServer{ln: ln, told: told}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go m.serve(c)
		}
	}()
	return m, nil
}

func (m *mailServer) address() string { return m.ln.Addr().String() }

func (m *mailServer) close() { _ = m.ln.Close() }

// serve speaks as much SMTP as a client needs.
func (m *mailServer) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReaderSize(c, 32<<10)
	say := func(line string) bool {
		_, err := io.WriteString(c, line+"\r\n")
		return err == nil
	}
	recipient := ""
	for ok := say("220 bench"); ok; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "RCPT":
			if begin, end := strings.IndexByte(rest, '<'), strings.IndexByte(rest, '>'); begin >= 0 && end > begin {
				recipient = rest[begin+1 : end]
			}
			ok = say("250 ok")
		case "DATA":
			if ok = say("354 go on"); !ok {
				return
			}
			content, err := readContent(in)
			if err != nil {
				return
			}
			m.taken.Add(1)
			m.told(recipient, content)
			ok = say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			ok = say("250 ok")
		}
	}
}

// readContent reads a message up to the line with the dot, and joins its soft line breaks.
func readContent(in *bufio.Reader) ([]byte, error) {
	var content []byte
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if bytes.Equal(line, []byte(".\r\n")) {
			return bytes.ReplaceAll(content, []byte("=\r\n"), nil), nil
		}
		content = append(content, line...)
	}
}
