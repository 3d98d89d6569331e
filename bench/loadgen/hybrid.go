package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

const (
	words    = "words"
	prefetch = 100
)

func textOf(text string) *qdrant.Document { return &qdrant.Document{Text: text, Model: "qdrant/bm25"} }

// addWords gives each point a second vector: the server makes it of the gloss.
func addWords(points []*qdrant.PointStruct) {
	for _, point := range points {
		gloss := point.Payload["gloss"].GetStringValue()
		dense := point.Vectors.GetVector()
		point.Vectors = &qdrant.Vectors{VectorsOptions: &qdrant.Vectors_Vectors{Vectors: &qdrant.NamedVectors{Vectors: map[string]*qdrant.Vector{
			"": dense, words: qdrant.NewVectorDocument(textOf(gloss)),
		}}}}
	}
}

func sparseWords() *qdrant.SparseVectorConfig {
	return qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{words: {Modifier: qdrant.Modifier_Idf.Enum()}})
}

func readTexts(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var texts []string
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var d document
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			return nil, err
		}
		texts = append(texts, d.Gloss)
	}
	return texts, lines.Err()
}

type hybridResult struct {
	searchResult
	// Found is the share of the exact dense top 10 among the fused ten: of nearest neighbours, not of relevance.
	Found float64 `json:"found"`
}

// runHybrid asks for ten points by vector and by words, 100 of each fused by reciprocal ranks, under each filter.
func runHybrid(ctx context.Context, o options) (any, error) {
	job, filters, err := newSearchJob(o)
	if err != nil {
		return nil, err
	}
	defer job.client.Close()
	texts, err := readTexts(filepath.Join(o.data, "queries.jsonl"))
	if err != nil {
		return nil, err
	}
	results := []hybridResult{}
	for _, filter := range filters {
		if o.filter != "" && filter.Name != o.filter {
			continue
		}
		condition, err := filter.build()
		if err != nil {
			return nil, err
		}
		ask := func(ctx context.Context, query int) ([]*qdrant.ScoredPoint, error) {
			part := func(what *qdrant.Query, using string) *qdrant.PrefetchQuery {
				made := &qdrant.PrefetchQuery{Query: what, Filter: condition, Limit: qdrant.PtrOf(uint64(prefetch))}
				if using != "" {
					made.Using = &using
				}
				return made
			}
			return job.client.Query(ctx, &qdrant.QueryPoints{
				CollectionName: o.collection,
				Prefetch: []*qdrant.PrefetchQuery{
					part(qdrant.NewQuery(job.queries[query]...), ""), part(qdrant.NewQueryNearest(qdrant.NewVectorInputDocument(textOf(texts[query]))), words),
				},
				Query:       qdrant.NewQueryFusion(qdrant.Fusion_RRF),
				Limit:       qdrant.PtrOf(uint64(limit)),
				WithPayload: qdrant.NewWithPayload(true),
			})
		}
		warmUp := func(ctx context.Context, i int) error {
			_, err := ask(ctx, i%len(job.queries))
			return err
		}
		inFlight := orDefault(o.inFlight, 8)
		if err := forEach(ctx, min(500, o.queries), inFlight, warmUp); err != nil {
			return nil, err
		}
		shares, latencies := make([]float64, o.queries), make([]float64, o.queries)
		result, err := timed(o.pid, o.queries, func() error {
			return forEach(ctx, o.queries, inFlight, func(ctx context.Context, i int) error {
				query := i % len(job.queries)
				start := time.Now()
				found, err := ask(ctx, query)
				latencies[i] = milliseconds(time.Since(start))
				if err != nil {
					return err
				}
				if len(found) != limit || len(found[0].GetPayload()) == 0 {
					return fmt.Errorf("query %d: %d points or no payload", query, len(found))
				}
				shares[i] = recall(found, filter.Top10[query])
				return nil
			})
		})
		if err != nil {
			return nil, fmt.Errorf("filter %s: %w", filter.Name, err)
		}
		sum := 0.0
		for _, share := range shares {
			sum += share
		}
		results = append(results, hybridResult{
			searchResult{timing: result, Filter: filter.Name, P50: percentile(latencies, 0.5), P99: percentile(latencies, 0.99)},
			sum / float64(o.queries),
		})
	}
	return results, nil
}
