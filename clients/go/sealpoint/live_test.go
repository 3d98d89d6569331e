package sealpoint_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"sealpoint.dev/go/gen/qdrant"
	policyv1 "sealpoint.dev/go/gen/sealpoint/policy/v1"
	"sealpoint.dev/go/messages"
	"sealpoint.dev/go/seal"
	"sealpoint.dev/go/sealpoint"
)

// live returns a client of the running server and a new sealed collection on it.
func live(t *testing.T, key *seal.PrivateKey) (*sealpoint.Client, *sealpoint.Client, string) {
	t.Helper()
	target := os.Getenv("SEALPOINT_TEST_GRPC")
	if target == "" {
		t.Skip("SEALPOINT_TEST_GRPC=host:port is not set: no running server to try")
	}
	client, plain := newClient(t, target, sealing(key)), newClient(t, target, messages.Config{})
	name := fmt.Sprintf("go-%d", time.Now().UnixNano())
	policy := &policyv1.SealingPolicy{
		Mode: policyv1.SealingMode_SEALING_MODE_REQUIRED, Recipients: []string{key.Public().PEM()}, ClearFields: []string{"pos"},
	}
	if err := client.CreateCollection(t.Context(), name, sealpoint.Vector{Size: 2, Distance: qdrant.Distance_Cosine}, policy); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cleaner := newClient(t, target, messages.Config{})
		if deleted, err := cleaner.DeleteCollection(context.Background(), name); err != nil || !deleted {
			t.Errorf("delete: %v %v", deleted, err)
		}
	})
	return client, plain, name
}

func livePoints(count int) []sealpoint.Point {
	out := points(count)
	for i := range out {
		out[i].Vector = []float32{1, float32(i) / 1000}
	}
	return out
}

func TestLiveSealAndOpen(t *testing.T) {
	key, other := newKey(t), newKey(t)
	client, plain, name := live(t, key)
	ctx := testContext(t)
	if err := client.Upsert(ctx, name, livePoints(10), sealpoint.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	hits := must[[]sealpoint.Hit](t)(client.Query(ctx, name, []float32{1, 0}, sealpoint.QueryOptions{Limit: 3}))
	for i, hit := range hits {
		if hit.ID.Num != uint64(i) || !reflect.DeepEqual(hit.Payload, payload(i)) {
			t.Errorf("hit %d: %v %v", i, hit.ID, hit.Payload)
		}
	}
	hits = must[[]sealpoint.Hit](t)(plain.Query(ctx, name, []float32{1, 0}, sealpoint.QueryOptions{Limit: 3}))
	if len(hits) != 3 || !hits[0].Sealed() || len(hits[0].Payload) != 2 {
		t.Errorf("without a key: %v", hits)
	}
	// Sealed by the server, opened here.
	if err := plain.Upsert(ctx, name, livePoints(2), sealpoint.WriteOptions{PublicKey: other.Public()}); err != nil {
		t.Fatal(err)
	}
	records := must[[]sealpoint.Record](t)(plain.Get(ctx, name, []sealpoint.ID{{Num: 1}}, other))
	if len(records) != 1 || !reflect.DeepEqual(records[0].Payload, payload(1)) {
		t.Errorf("sealed by the server: %v", records)
	}
	if err := client.SetPayload(ctx, name, map[string]any{"n": 70}, []sealpoint.ID{{Num: 5}}, sealpoint.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	want := payload(5)
	want["n"] = int64(70)
	records = must[[]sealpoint.Record](t)(client.Get(ctx, name, []sealpoint.ID{{Num: 5}}))
	if !reflect.DeepEqual(records[0].Payload, want) {
		t.Errorf("after a partial update: %v", records[0].Payload)
	}
	if plainCount, total, err := client.CountPlain(ctx, name); err != nil || plainCount != 0 || total != 10 {
		t.Errorf("count plain: %d %d %v", plainCount, total, err)
	}
	state, err := client.GetPolicy(ctx, name)
	if err != nil || state.GetPolicy().GetMode() != policyv1.SealingMode_SEALING_MODE_REQUIRED || len(state.GetSealingId()) != 16 {
		t.Errorf("policy: %v %v", state, err)
	}
	config := sealing(key)
	config.Collections = map[string]messages.Pin{name: {}}
	if _, err := newClient(t, os.Getenv("SEALPOINT_TEST_GRPC"), config).Query(ctx, name, []float32{1, 0}, sealpoint.QueryOptions{}); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("under another sealing id: %v", err)
	}
	if _, err := client.Query(ctx, "no such collection", []float32{1}, sealpoint.QueryOptions{}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown collection: %v", err)
	}
}

func TestLiveStreams(t *testing.T) {
	key := newKey(t)
	client, plain, name := live(t, key)
	ctx := testContext(t)
	var applied uint32
	options := sealpoint.BulkOptions{ChunkPoints: 64, StreamID: "live"}
	for ack, err := range client.BulkUpsert(ctx, name, feed(livePoints(1000), nil), options) {
		if err != nil {
			t.Fatal(err)
		}
		applied += ack.PointsApplied
		if len(ack.Refused) > 0 {
			t.Errorf("refused: %v", ack.Refused)
		}
	}
	if count, err := client.Count(ctx, name, nil); err != nil || count != 1000 || applied != 1000 {
		t.Errorf("%d counted, %d applied, %v", count, applied, err)
	}
	read := 0
	for record, err := range client.Scroll(ctx, name, sealpoint.ScrollOptions{PageSize: 100}) {
		if err != nil || record.ID.Num != uint64(read) || !reflect.DeepEqual(record.Payload, payload(read)) {
			t.Fatalf("record %d: %v %v", read, record, err)
		}
		read++
	}
	if read != 1000 {
		t.Errorf("%d records", read)
	}
	for ack, err := range client.BulkUpsert(ctx, name, feed(livePoints(1000), nil), options) {
		if err != nil || ack.Applied {
			t.Fatalf("a repeated chunk: %v %v", ack, err)
		}
	}
	for record, err := range plain.Scroll(ctx, name, sealpoint.ScrollOptions{Limit: 3}) {
		if err != nil || !record.Sealed() {
			t.Errorf("without a key: %v %v", record, err)
		}
	}
}
