package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

const limit = 10

type searchResult struct {
	timing
	Filter string  `json:"filter,omitempty"`
	EF     uint64  `json:"ef"`
	Recall float64 `json:"recall"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
}

type searchJob struct {
	client  *qdrant.Client
	options options
	queries [][]float32
	top10   [][]uint64
	filter  *qdrant.Filter
}

func (j searchJob) ask(ctx context.Context, query int) ([]*qdrant.ScoredPoint, error) {
	request := &qdrant.QueryPoints{
		CollectionName: j.options.collection,
		Query:          qdrant.NewQuery(j.queries[query]...),
		Filter:         j.filter,
		Limit:          qdrant.PtrOf(uint64(limit)),
		WithPayload:    qdrant.NewWithPayload(j.options.payload),
	}
	if j.options.ef > 0 {
		request.Params = &qdrant.SearchParams{HnswEf: qdrant.PtrOf(j.options.ef)}
	}
	return j.client.Query(ctx, request)
}

func (j searchJob) run(ctx context.Context) (searchResult, error) {
	count := j.options.queries
	hits := make([]float64, count)
	latencies := make([]float64, count)
	inFlight := orDefault(j.options.inFlight, 8)
	warmUp := func(ctx context.Context, i int) error {
		_, err := j.ask(ctx, i%len(j.queries))
		return err
	}
	if err := forEach(ctx, min(500, count), inFlight, warmUp); err != nil {
		return searchResult{}, err
	}
	result, err := timed(j.options.pid, count, func() error {
		return forEach(ctx, count, inFlight, func(ctx context.Context, i int) error {
			query := i % len(j.queries)
			start := time.Now()
			found, err := j.ask(ctx, query)
			latencies[i] = milliseconds(time.Since(start))
			if err != nil {
				return err
			}
			hits[i] = recall(found, j.top10[query])
			if j.options.payload && len(found) > 0 && len(found[0].GetPayload()) == 0 {
				return fmt.Errorf("query %d: an answer without a payload", query)
			}
			return nil
		})
	})
	sum := 0.0
	for _, share := range hits {
		sum += share
	}
	return searchResult{
		timing: result, EF: j.options.ef, Recall: sum / float64(count),
		P50: percentile(latencies, 0.5), P99: percentile(latencies, 0.99),
	}, err
}

func recall(found []*qdrant.ScoredPoint, expected []uint64) float64 {
	if len(expected) == 0 {
		return 1
	}
	ids := make(map[uint64]bool, len(found))
	for _, point := range found {
		ids[point.GetId().GetNum()] = true
	}
	seen := 0
	for _, id := range expected {
		if ids[id] {
			seen++
		}
	}
	return float64(seen) / float64(len(expected))
}

func newSearchJob(o options) (searchJob, []dataFilter, error) {
	queries, err := readVectors(filepath.Join(o.data, "queries.f16"))
	if err != nil {
		return searchJob{}, nil, err
	}
	top10, filters, err := readAnswers(o)
	if err != nil {
		return searchJob{}, nil, err
	}
	client, err := connect(o)
	return searchJob{client: client, options: o, queries: queries, top10: top10}, filters, err
}

func runSearch(ctx context.Context, o options) (any, error) {
	job, _, err := newSearchJob(o)
	if err != nil {
		return nil, err
	}
	defer job.client.Close()
	return job.run(ctx)
}

func runFiltered(ctx context.Context, o options) (any, error) {
	job, filters, err := newSearchJob(o)
	if err != nil {
		return nil, err
	}
	defer job.client.Close()
	results := []searchResult{}
	for _, filter := range filters {
		if o.filter != "" && filter.Name != o.filter {
			continue
		}
		if job.filter, err = filter.build(); err != nil {
			return nil, err
		}
		job.top10 = filter.Top10
		result, err := job.run(ctx)
		if err != nil {
			return nil, fmt.Errorf("filter %s: %w", filter.Name, err)
		}
		result.Filter = filter.Name
		results = append(results, result)
	}
	return results, nil
}

func runBaseline(ctx context.Context, o options) (any, error) {
	client, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	call := func(ctx context.Context, _ int) error {
		_, err := client.HealthCheck(ctx)
		return err
	}
	inFlight := orDefault(o.inFlight, 8)
	if err := forEach(ctx, 2000, inFlight, call); err != nil {
		return nil, err
	}
	return timed(o.pid, o.calls, func() error { return forEach(ctx, o.calls, inFlight, call) })
}
