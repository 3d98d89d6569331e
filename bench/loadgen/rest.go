package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// runRest asks what runSearch asks, in JSON at the HTTP port.
func runRest(ctx context.Context, o options) (any, error) {
	job, _, err := newSearchJob(o)
	if err != nil {
		return nil, err
	}
	defer job.client.Close()
	bodies := make([][]byte, len(job.queries))
	for i, query := range job.queries {
		body := map[string]any{"query": query, "limit": limit, "with_payload": true}
		if o.ef > 0 {
			body["params"] = map[string]any{"hnsw_ef": o.ef}
		}
		if bodies[i], err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	inFlight := orDefault(o.inFlight, 8)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight, MaxConnsPerHost: inFlight}}
	url := fmt.Sprintf("http://%s:%d/collections/%s/points/query", o.host, o.httpPort, o.collection)
	ask := func(ctx context.Context, query int) (float64, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(bodies[query]))
		if err != nil {
			return 0, err
		}
		request.Header.Set("content-type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("query %d: %s %w", query, response.Status, err)
		}
		var answer struct {
			Result struct {
				Points []struct {
					ID      uint64         `json:"id"`
					Payload map[string]any `json:"payload"`
				} `json:"points"`
			} `json:"result"`
		}
		if err := json.Unmarshal(text, &answer); err != nil {
			return 0, err
		}
		points := answer.Result.Points
		if len(points) != limit || len(points[0].Payload) == 0 {
			return 0, fmt.Errorf("query %d: %d points or no payload", query, len(points))
		}
		expected := map[uint64]bool{}
		for _, id := range job.top10[query] {
			expected[id] = true
		}
		seen := 0
		for _, point := range points {
			if expected[point.ID] {
				seen++
			}
		}
		return float64(seen) / limit, nil
	}
	warmUp := func(ctx context.Context, i int) error {
		_, err := ask(ctx, i%len(job.queries))
		return err
	}
	if err := forEach(ctx, min(500, o.queries), inFlight, warmUp); err != nil {
		return nil, err
	}
	hits, latencies := make([]float64, o.queries), make([]float64, o.queries)
	result, err := timed(o.pid, o.queries, func() (err error) {
		return forEach(ctx, o.queries, inFlight, func(ctx context.Context, i int) (err error) {
			start := time.Now()
			hits[i], err = ask(ctx, i%len(job.queries))
			latencies[i] = milliseconds(time.Since(start))
			return err
		})
	})
	sum := 0.0
	for _, share := range hits {
		sum += share
	}
	return searchResult{
		timing: result, EF: o.ef, Recall: sum / float64(o.queries), P50: percentile(latencies, 0.5), P99: percentile(latencies, 0.99),
	}, err
}
