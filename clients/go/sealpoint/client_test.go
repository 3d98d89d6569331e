package sealpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"sealpoint.dev/go/gen/qdrant"
	sealpointv1 "sealpoint.dev/go/gen/sealpoint/v1"
	"sealpoint.dev/go/internal/fakeserver"
	"sealpoint.dev/go/messages"
	"sealpoint.dev/go/seal"
	"sealpoint.dev/go/sealpoint"
)

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func newKey(t *testing.T) *seal.PrivateKey {
	t.Helper()
	key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newClient(t *testing.T, target string, config messages.Config) *sealpoint.Client {
	t.Helper()
	client, err := sealpoint.New(target, sealpoint.Options{Sealing: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func sealing(key *seal.PrivateKey) messages.Config {
	return messages.Config{Recipient: key.Public(), PrivateKeys: []*seal.PrivateKey{key}, ClearFields: []string{"pos"}}
}

func payload(n int) map[string]any {
	return map[string]any{"secret": fmt.Sprint("words ", n), "n": int64(n), "f": 1.0, "deep": []any{nil, map[string]any{"x": true}}, "pos": "n"}
}

func points(count int) []sealpoint.Point {
	out := make([]sealpoint.Point, count)
	for i := range out {
		out[i] = sealpoint.Point{ID: sealpoint.ID{Num: uint64(i)}, Vector: []float32{0.1, 0.2}, Payload: payload(i)}
	}
	return out
}

func feed(points []sealpoint.Point, failure error) iter.Seq2[sealpoint.Point, error] {
	return func(yield func(sealpoint.Point, error) bool) {
		for _, point := range points {
			if !yield(point, nil) {
				return
			}
		}
		if failure != nil {
			yield(sealpoint.Point{}, failure)
		}
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestUpsertSealsAndQueryOpens(t *testing.T) {
	server, ctx, key, other := fakeserver.Start(t), testContext(t), newKey(t), newKey(t)
	client := newClient(t, server.Target, sealing(key))
	if err := client.Upsert(ctx, "c", points(3), sealpoint.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	raw, _ := proto.Marshal(server.Written()[0])
	if bytes.Contains(raw, []byte("words")) {
		t.Error("plaintext left the client")
	}
	hits := must[[]sealpoint.Hit](t)(client.Query(ctx, "c", []float32{1, 2}, sealpoint.QueryOptions{}))
	for i, hit := range hits {
		if !reflect.DeepEqual(hit.Payload, payload(i)) {
			t.Errorf("hit %d: %v", i, hit.Payload)
		}
	}
	read := 0
	for record, err := range client.Scroll(ctx, "c", sealpoint.ScrollOptions{PageSize: 2}) {
		if err != nil || !reflect.DeepEqual(record.Payload, payload(read)) {
			t.Fatalf("record %d: %v %v", read, record.Payload, err)
		}
		read++
	}
	if read != 3 || server.PolicyCalls != 1 {
		t.Errorf("%d records, %d policy calls", read, server.PolicyCalls)
	}
	plain := newClient(t, server.Target, messages.Config{})
	hits = must[[]sealpoint.Hit](t)(plain.Query(ctx, "c", nil, sealpoint.QueryOptions{}))
	if len(hits) != 3 || !hits[0].Sealed() || hits[0].Payload["pos"] != "n" || hits[0].Payload["secret"] != nil {
		t.Errorf("without a key: %v", hits[0].Payload)
	}
	hits = must[[]sealpoint.Hit](t)(plain.Query(ctx, "c", nil, sealpoint.QueryOptions{Open: []*seal.PrivateKey{key}}))
	if hits[1].Payload["secret"] != "words 1" {
		t.Errorf("with the key of the call: %v", hits[1].Payload)
	}
	hits = must[[]sealpoint.Hit](t)(plain.Query(ctx, "c", nil, sealpoint.QueryOptions{Open: []*seal.PrivateKey{other}}))
	if !hits[1].Sealed() {
		t.Error("a stranger's key opened something")
	}
}

func TestRecipients(t *testing.T) {
	server, ctx, key, other, own := fakeserver.Start(t), testContext(t), newKey(t), newKey(t), newKey(t)
	client := newClient(t, server.Target, sealing(key))
	batch := points(2)
	batch[1].Seal = own.Public()
	if err := client.Upsert(ctx, "c", batch, sealpoint.WriteOptions{Seal: other.Public()}); err != nil {
		t.Fatal(err)
	}
	for want, who := range []*seal.PrivateKey{other, own} {
		hits := must[[]sealpoint.Hit](t)(client.Query(ctx, "c", nil, sealpoint.QueryOptions{Open: []*seal.PrivateKey{who}}))
		for i, hit := range hits {
			if hit.Sealed() != (i != want) {
				t.Errorf("point %d, key %d: sealed %v", i, want, hit.Sealed())
			}
		}
	}
	if server.Written()[0].(*qdrant.UpsertPoints).Points[1].PublicKey != nil {
		t.Error("the server is asked to seal again")
	}
	if err := client.Upsert(ctx, "c", batch, sealpoint.WriteOptions{PublicKey: key.Public()}); err == nil {
		t.Error("both sides were asked to seal")
	}
	plain := newClient(t, server.Target, messages.Config{})
	if err := plain.Upsert(ctx, "c", points(1), sealpoint.WriteOptions{PublicKey: key.Public()}); err != nil {
		t.Fatal(err)
	}
	if server.Written()[1].(*qdrant.UpsertPoints).GetPublicKey() != key.Public().Hex() {
		t.Error("the server-side key did not arrive")
	}
	chooser := newClient(t, server.Target, messages.Config{RecipientFor: func(string, seal.PointID) (*seal.PublicKey, error) { return nil, nil }})
	if err := chooser.Upsert(ctx, "c", points(1), sealpoint.WriteOptions{}); err == nil || len(server.Written()) != 2 {
		t.Errorf("a point without a recipient: %v", err)
	}
}

func TestPartialUpdates(t *testing.T) {
	server, ctx, key := fakeserver.Start(t), testContext(t), newKey(t)
	client := newClient(t, server.Target, sealing(key))
	ids := []sealpoint.ID{{Num: 0}, {Num: 1}}
	if err := errors.Join(
		client.Upsert(ctx, "c", points(2), sealpoint.WriteOptions{}),
		client.SetPayload(ctx, "c", map[string]any{"n": 7}, ids, sealpoint.WriteOptions{}),
		client.OverwritePayload(ctx, "c", map[string]any{"only": true}, ids[1:], sealpoint.WriteOptions{}),
	); err != nil {
		t.Fatal(err)
	}
	records := must[[]sealpoint.Record](t)(client.Get(ctx, "c", ids))
	want := payload(0)
	want["n"] = int64(7)
	if !reflect.DeepEqual(records[0].Payload, want) || !reflect.DeepEqual(records[1].Payload, map[string]any{"only": true}) {
		t.Errorf("%v, %v", records[0].Payload, records[1].Payload)
	}
}

func TestPinsHold(t *testing.T) {
	server, ctx, key := fakeserver.Start(t), testContext(t), newKey(t)
	client := newClient(t, server.Target, sealing(key))
	if err := client.Upsert(ctx, "c", points(2), sealpoint.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	config := sealing(key)
	config.Collections = map[string]messages.Pin{"c": {}}
	pinned := newClient(t, server.Target, config)
	if _, err := pinned.Query(ctx, "c", nil, sealpoint.QueryOptions{}); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("another collection's envelope: %v", err)
	}
	if err := pinned.SetPayload(ctx, "c", map[string]any{"n": 1}, []sealpoint.ID{{Num: 1}}, sealpoint.WriteOptions{}); err == nil {
		t.Error("a plain Qdrant would have lost an envelope")
	}
	server.Mu.Lock()
	stored := server.Points["c"]
	stored[0].Payload[seal.SealedKey] = stored[1].Payload[seal.SealedKey]
	server.Mu.Unlock()
	if _, err := client.Query(ctx, "c", nil, sealpoint.QueryOptions{}); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("a moved envelope: %v", err)
	}
	written := len(server.Written())
	bad := points(1)
	bad[0].Payload = map[string]any{"x": time.Now()}
	if err := client.Upsert(ctx, "c", bad, sealpoint.WriteOptions{}); err == nil || len(server.Written()) != written {
		t.Errorf("a bad value: %v", err)
	}
}

func TestBulkUpsertResumes(t *testing.T) {
	server, ctx, key := fakeserver.Start(t), testContext(t), newKey(t)
	server.Cuts = []int{2, 0, 3}
	client := newClient(t, server.Target, sealing(key))
	var sequences []uint64
	options := sealpoint.BulkOptions{ChunkPoints: 10, ChunksInFlight: 3}
	for ack, err := range client.BulkUpsert(ctx, "c", feed(points(95), nil), options) {
		if err != nil {
			t.Fatal(err)
		}
		sequences = append(sequences, ack.Sequence)
	}
	if want := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}; !reflect.DeepEqual(sequences, want) {
		t.Errorf("acknowledged %v", sequences)
	}
	if server.Connections != 4 || len(server.Written()) != 10 || len(server.Points["c"]) != 95 {
		t.Errorf("%d connections, %d chunks, %d points", server.Connections, len(server.Written()), len(server.Points["c"]))
	}
	hits := must[[]sealpoint.Hit](t)(client.Query(ctx, "c", nil, sealpoint.QueryOptions{}))
	for i, hit := range hits {
		if !reflect.DeepEqual(hit.Payload, payload(i)) {
			t.Fatalf("point %d: %v", i, hit.Payload)
		}
	}
}

func TestBulkUpsertGoesOnAfterACrash(t *testing.T) {
	server, ctx, key := fakeserver.Start(t), testContext(t), newKey(t)
	client := newClient(t, server.Target, sealing(key))
	options := sealpoint.BulkOptions{ChunkPoints: 10, ChunksInFlight: 1, StreamID: "mine"}
	for ack, err := range client.BulkUpsert(ctx, "c", feed(points(50), nil), options) {
		if err != nil || ack.Sequence != 1 {
			t.Fatal(ack, err)
		}
		break
	}
	server.Mu.Lock()
	held := server.Streams["mine"]
	server.Mu.Unlock()
	var sequences []uint64
	for ack, err := range client.BulkUpsert(ctx, "c", feed(points(50), nil), options) {
		if err != nil || ack.Applied != (ack.Sequence > held) {
			t.Fatal(ack, held, err)
		}
		sequences = append(sequences, ack.Sequence)
	}
	if len(sequences) != 5 || len(server.Written()) != 5 {
		t.Errorf("acknowledged %v, %d chunks arrived", sequences, len(server.Written()))
	}
}

func TestBulkUpsertReportsTheInputsError(t *testing.T) {
	server, ctx, key := fakeserver.Start(t), testContext(t), newKey(t)
	client := newClient(t, server.Target, sealing(key))
	broken := errors.New("the input broke")
	var got error
	for _, err := range client.BulkUpsert(ctx, "c", feed(points(10), broken), sealpoint.BulkOptions{ChunkPoints: 4}) {
		got = err
	}
	if !errors.Is(got, broken) {
		t.Errorf("got %v", got)
	}
	for range 20 {
		server.Cuts = append(server.Cuts, 0)
	}
	got = nil
	for _, err := range client.BulkUpsert(ctx, "no such stream ends", feed(points(3), nil), sealpoint.BulkOptions{ChunkPoints: 1}) {
		got = err
	}
	if got != nil {
		t.Errorf("every connection made progress, and yet %v", got)
	}
}

func TestS5Progress(t *testing.T) {
	server, ctx := fakeserver.Start(t), testContext(t)
	client := newClient(t, server.Target, messages.Config{})
	count := 0
	for event, err := range client.LoadS5(ctx, &sealpointv1.LoadRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		count++
		if count == 2 && event.GetLoadingComplete().GetVectorCount() != 3 {
			t.Error("the end did not arrive")
		}
	}
	if count != 2 {
		t.Errorf("%d events", count)
	}
}
