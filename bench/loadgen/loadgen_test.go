package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
)

const slice = "../../test/data/wordnet-2000"

func TestSliceIsReadAsItIsWritten(t *testing.T) {
	points, err := readPoints(options{data: slice})
	if err != nil {
		t.Fatal(err)
	}
	if len(points) != 2000 || points[7].GetId().GetNum() != 7 {
		t.Fatalf("%d points", len(points))
	}
	top10, filters, err := readAnswers(options{data: slice})
	if err != nil || len(top10) != 100 || len(filters) != 3 {
		t.Fatalf("%d answers, %d filters, %v", len(top10), len(filters), err)
	}
	queries, err := readVectors(slice + "/queries.f16")
	if err != nil {
		t.Fatal(err)
	}
	// The listed nearest document is nearer than any other: vectors, ids and answers belong together.
	vectors, err := readVectors(slice + "/vectors.f16")
	if err != nil {
		t.Fatal(err)
	}
	for q, query := range queries {
		best, bestScore := uint64(0), float32(-2)
		for row, vector := range vectors {
			score := float32(0)
			for d := range vector {
				score += vector[d] * query[d]
			}
			if score > bestScore {
				best, bestScore = uint64(row), score
			}
		}
		if best != top10[q][0] {
			t.Fatalf("query %d: nearest is %d and not %d", q, best, top10[q][0])
		}
	}
	for _, filter := range filters {
		if _, err := filter.build(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHalves(t *testing.T) {
	for bits, want := range map[uint16]float32{0x0000: 0, 0x0001: 0x1p-24, 0x3c00: 1, 0xc000: -2, 0x3555: 0.333251953125, 0x7bff: 65504} {
		if got := halfToFloat(bits); got != want {
			t.Errorf("%#x: %v and not %v", bits, got, want)
		}
	}
}

func TestChunkHoldsItsPoints(t *testing.T) {
	points := []*qdrant.PointStruct{
		{Id: qdrant.NewIDNum(3), Vectors: qdrant.NewVectors(1, 2), Payload: qdrant.NewValueMap(map[string]any{"a": "b"})},
		{Id: qdrant.NewIDNum(4), Vectors: qdrant.NewVectors(3, 4)},
	}
	raw, err := encodeChunk(9, points)
	if err != nil {
		t.Fatal(err)
	}
	kind, chunk, err := decodeOneof(raw)
	if err != nil || kind != 2 || chunk.numbers[1] != 9 || len(chunk.bytes[2]) != 2 {
		t.Fatalf("kind %d, sequence %d, %d points, %v", kind, chunk.numbers[1], len(chunk.bytes[2]), err)
	}
	for i, bytes := range chunk.bytes[2] {
		var point qdrant.PointStruct
		if err := proto.Unmarshal(bytes, &point); err != nil || !proto.Equal(&point, points[i]) {
			t.Fatalf("point %d: %v, %v", i, &point, err)
		}
	}
	kind, start, err := decodeOneof(encodeStart("c", "id", "key", true))
	if err != nil || kind != 1 || string(start.bytes[1][0]) != "c" || string(start.bytes[3][0]) != "key" || start.numbers[4] != 1 {
		t.Fatalf("start: kind %d, %v, %v", kind, start, err)
	}
}

func TestWindowHoldsBackAndLetsALargeChunkPass(t *testing.T) {
	w := newWindow(10)
	if err := w.acquire(1, 100); err != nil {
		t.Fatal(err)
	}
	passed := make(chan error, 1)
	go func() { passed <- w.acquire(2, 1) }()
	select {
	case <-passed:
		t.Fatal("passed a full window")
	case <-time.After(50 * time.Millisecond):
	}
	w.release(1)
	if err := <-passed; err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	w.end(gone)
	if err := w.acquire(3, 1); !errors.Is(err, gone) {
		t.Fatal(err)
	}
}

func TestForEachStopsAtTheFirstError(t *testing.T) {
	broken := errors.New("broken")
	err := forEach(context.Background(), 1_000_000, 4, func(_ context.Context, i int) error {
		if i == 100 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

func TestPercentileAndRecall(t *testing.T) {
	if got := percentile([]float64{5, 1, 4, 2, 3}, 0.5); got != 3 {
		t.Error(got)
	}
	found := []*qdrant.ScoredPoint{{Id: qdrant.NewIDNum(1)}, {Id: qdrant.NewIDNum(9)}}
	if got := recall(found, []uint64{1, 2}); got != 0.5 {
		t.Error(got)
	}
}
