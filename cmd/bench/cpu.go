package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// cpu is the processor time that the parts of an installation have used. Unlike a rate it hardly depends on what else the machine does.
type cpu struct{ purser, database, redis time.Duration }

// tick is the unit in which Linux counts processor time (USER_HZ).
const tick = 10 * time.Millisecond

// cpu reads what has been used so far. On embedded stores everything is purser's.
func (i *installation) cpu(ctx context.Context) (c cpu, err error) {
	for _, p := range i.procs {
		if used, _, err := processorTime(p.cmd.Process.Pid); err == nil { // one that has ended uses nothing more
			c.purser += used
		}
	}
	if i.databaseURL == "" {
		return c, nil
	}
	if c.database, err = databaseTime(ctx, i.databaseURL); err != nil {
		return c, err
	}
	opt, err := redis.ParseURL(i.redisURL)
	if err != nil {
		return c, err
	}
	client := redis.NewClient(opt)
	defer func() { _ = client.Close() }()
	info, err := client.InfoMap(ctx, "server").Result()
	if err != nil {
		return c, err
	}
	pid, err := strconv.Atoi(info["Server"]["process_id"])
	if err != nil {
		return c, err
	}
	c.redis, _, err = processorTime(pid)
	return c, err
}

// databaseTime is the time of PostgreSQL's processes, those that have ended included.
func databaseTime(ctx context.Context, address string) (sum time.Duration, err error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	var backend int
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return 0, err
	}
	_, postmaster, err := processorTime(backend)
	if err != nil {
		return 0, err
	}
	ids, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		pid, _ := strconv.Atoi(filepath.Base(id)) // digits only
		used, parent, err := processorTime(pid)
		if err == nil && (pid == postmaster || parent == postmaster) {
			sum += used
		}
	}
	return sum, nil
}

// processorTime reads how much a process and its ended children have used, and whose child it is.
func processorTime(pid int) (used time.Duration, parent int, err error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0, err
	}
	// The second field is the program's name in brackets, which may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const parentField, firstTime, lastTime = 1, 11, 14 // ppid; utime, stime, cutime, cstime
	if len(fields) <= lastTime {
		return 0, 0, fmt.Errorf("/proc/%d/stat cannot be read", pid)
	}
	if parent, err = strconv.Atoi(fields[parentField]); err != nil {
		return 0, 0, err
	}
	for _, f := range fields[firstTime : lastTime+1] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		used += time.Duration(ticks) * tick
	}
	return used, parent, nil
}

func (c cpu) minus(d cpu) cpu {
	return cpu{c.purser - d.purser, c.database - d.database, c.redis - d.redis}
}
func (c cpu) plus(d cpu) cpu {
	return cpu{c.purser + d.purser, c.database + d.database, c.redis + d.redis}
}

// since prints what was used for each of n, since an earlier reading.
func (c cpu) since(before cpu, n float64) string {
	per := func(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)/n) }
	d := c.minus(before)
	if d.database == 0 {
		return per(d.purser) + " ms"
	}
	return per(d.purser) + " + " + per(d.database) + " + " + per(d.redis) + " ms"
}
