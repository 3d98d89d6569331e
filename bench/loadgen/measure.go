package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clockTicks is Linux's USER_HZ, which /proc/PID/stat counts in: 100 on every platform that Node supports.
const clockTicks = 100

// cpuSeconds is the user and system time that a process has used; 0 when pid is 0.
func cpuSeconds(pid int) (float64, error) {
	if pid == 0 {
		return 0, nil
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the command in brackets and may hold spaces.
	_, rest, found := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("cannot read /proc/%d/stat", pid)
	}
	user, err := strconv.ParseFloat(fields[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(fields[12], 64)
	if err != nil {
		return 0, err
	}
	return (user + system) / clockTicks, nil
}

// timing is the part of every result that says how long something took and what it cost the server.
type timing struct {
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"per_second"`
	CPUSeconds float64 `json:"cpu_seconds"`
	CPUMicros  float64 `json:"cpu_us_each"`
	Count      int     `json:"count"`
}

func timed(pid, count int, work func() error) (timing, error) {
	before, err := cpuSeconds(pid)
	if err != nil {
		return timing{}, err
	}
	start := time.Now()
	if err := work(); err != nil {
		return timing{}, err
	}
	seconds := time.Since(start).Seconds()
	after, err := cpuSeconds(pid)
	if err != nil {
		return timing{}, err
	}
	return timing{
		Seconds:    seconds,
		PerSecond:  float64(count) / seconds,
		CPUSeconds: after - before,
		CPUMicros:  (after - before) * 1e6 / float64(count),
		Count:      count,
	}, nil
}

// forEach calls work for 0 to count-1 with so many in flight; the first error ends it.
func forEach(ctx context.Context, count, inFlight int, work func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range inFlight {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= count {
					return
				}
				if err := work(ctx, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// latencies are milliseconds by call.
func percentile(latencies []float64, share float64) float64 {
	if len(latencies) == 0 {
		return 0
	}
	sorted := slices.Clone(latencies)
	slices.Sort(sorted)
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
