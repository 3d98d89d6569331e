package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protowire"
)

type ingestResult struct {
	timing
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

// The indexed fields, which stay in clear where the collection seals.
var indexedFields = []struct {
	name string
	kind qdrant.FieldType
}{{"lexname", qdrant.FieldType_FieldTypeKeyword}, {"n_words", qdrant.FieldType_FieldTypeInteger}}

// encodeSealing is CreateCollection's field 50001, a sealpoint.policy.v1.SealingPolicy that requires sealing to one recipient.
// Qdrant's client does not know the field, and protobuf carries it as it is.
func encodeSealing(publicKey string) []byte {
	policy := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 3)
	policy = appendMessage(policy, 2, []byte(publicKey))
	for _, field := range indexedFields {
		policy = appendMessage(policy, 4, []byte(field.name))
	}
	return appendMessage(nil, 50001, policy)
}

// prepare makes the collection, which requires sealing when there is a public key, and its payload indexes.
func prepare(ctx context.Context, client *qdrant.Client, o options, publicKey string) error {
	if o.create {
		request := &qdrant.CreateCollection{
			CollectionName: o.collection,
			VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: dimensions, Distance: qdrant.Distance_Cosine}),
			HnswConfig:     &qdrant.HnswConfigDiff{M: qdrant.PtrOf(uint64(16)), EfConstruct: qdrant.PtrOf(uint64(128))},
		}
		if o.words {
			request.SparseVectorsConfig = sparseWords()
		}
		if publicKey != "" {
			request.ProtoReflect().SetUnknown(encodeSealing(publicKey))
		}
		if err := client.CreateCollection(ctx, request); err != nil {
			return err
		}
	}
	if !o.indexes {
		return nil
	}
	for _, field := range indexedFields {
		_, err := client.CreateFieldIndex(ctx, &qdrant.CreateFieldIndexCollection{
			CollectionName: o.collection, FieldName: field.name, FieldType: &field.kind, Wait: qdrant.PtrOf(true),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func runIngest(ctx context.Context, o options) (any, error) {
	points, err := readPoints(o)
	if err != nil {
		return nil, err
	}
	if o.words {
		addWords(points)
	}
	client, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := prepare(ctx, client, o, ""); err != nil {
		return nil, err
	}
	batches := (len(points) + o.batch - 1) / o.batch
	var mutex sync.Mutex
	var latencies []float64
	result, err := timed(o.pid, len(points), func() error {
		return forEach(ctx, batches, orDefault(o.inFlight, 4), func(ctx context.Context, i int) error {
			start := time.Now()
			_, err := client.Upsert(ctx, &qdrant.UpsertPoints{
				CollectionName: o.collection, Wait: qdrant.PtrOf(true), Points: points[i*o.batch : min(len(points), (i+1)*o.batch)],
			})
			mutex.Lock()
			defer mutex.Unlock()
			latencies = append(latencies, milliseconds(time.Since(start)))
			return err
		})
	})
	return ingestResult{result, percentile(latencies, 0.5), percentile(latencies, 0.99)}, err
}

type greenResult struct {
	timing
	Points  uint64 `json:"points"`
	Indexed uint64 `json:"indexed"`
}

// runWaitGreen asks three times a second until the collection is green and has been so twice in a row.
func runWaitGreen(ctx context.Context, o options) (any, error) {
	client, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var info *qdrant.CollectionInfo
	result, err := timed(o.pid, 1, func() error {
		for greens := 0; ; {
			info, err = client.GetCollectionInfo(ctx, o.collection)
			if err != nil {
				return err
			}
			switch info.GetStatus() {
			case qdrant.CollectionStatus_Green:
				greens++
			case qdrant.CollectionStatus_Red:
				return fmt.Errorf("the collection is red: %s", info.GetOptimizerStatus().GetError())
			default:
				greens = 0
			}
			if greens == 2 {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(333 * time.Millisecond):
			}
		}
	})
	return greenResult{result, info.GetPointsCount(), info.GetIndexedVectorsCount()}, err
}

func runCount(ctx context.Context, o options) (any, error) {
	client, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	count, err := client.Count(ctx, &qdrant.CountPoints{CollectionName: o.collection, Exact: qdrant.PtrOf(true)})
	return map[string]uint64{"count": count}, err
}

func runDelete(ctx context.Context, o options) (any, error) {
	client, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return map[string]bool{"deleted": true}, client.DeleteCollection(ctx, o.collection)
}
