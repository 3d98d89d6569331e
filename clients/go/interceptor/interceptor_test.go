package interceptor_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"sealpoint.dev/go/gen/qdrant"
	sealpointv1 "sealpoint.dev/go/gen/sealpoint/v1"
	"sealpoint.dev/go/interceptor"
	"sealpoint.dev/go/internal/fakeserver"
	"sealpoint.dev/go/seal"
)

func num(n uint64) *qdrant.PointId {
	return &qdrant.PointId{PointIdOptions: &qdrant.PointId_Num{Num: n}}
}

func text(value string) *qdrant.Value {
	return &qdrant.Value{Kind: &qdrant.Value_StringValue{StringValue: value}}
}

func upsert(collection string) *qdrant.UpsertPoints {
	request := &qdrant.UpsertPoints{CollectionName: collection}
	for n := range uint64(2) {
		request.Points = append(request.Points, &qdrant.PointStruct{Id: num(n), Payload: map[string]*qdrant.Value{"secret": text("words"), "pos": text("n")}})
	}
	return request
}

func byIDs(ids ...uint64) *qdrant.PointsSelector {
	list := &qdrant.PointsIdsList{}
	for _, id := range ids {
		list.Ids = append(list.Ids, num(id))
	}
	return &qdrant.PointsSelector{PointsSelectorOneOf: &qdrant.PointsSelector_Points{Points: list}}
}

func dial(t *testing.T, target string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func setUp(t *testing.T) (*fakeserver.Server, *grpc.ClientConn, *seal.PrivateKey) {
	t.Helper()
	server := fakeserver.Start(t)
	key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	i, err := interceptor.New(interceptor.Config{Recipient: key.Public(), PrivateKeys: []*seal.PrivateKey{key}, ClearFields: []string{"pos"}})
	if err != nil {
		t.Fatal(err)
	}
	return server, dial(t, server.Target, i.DialOptions()...), key
}

func secretOf(payload map[string]*qdrant.Value) string { return payload["secret"].GetStringValue() }

func TestUnary(t *testing.T) {
	server, conn, _ := setUp(t)
	ctx, points := t.Context(), qdrant.NewPointsClient(conn)
	request := upsert("c")
	before := proto.Clone(request)
	if _, err := points.Upsert(ctx, request); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(request, before) {
		t.Error("the caller's request was changed")
	}
	raw, _ := proto.Marshal(server.Written()[0])
	if bytes.Contains(raw, []byte("words")) || !bytes.Contains(raw, []byte(seal.SealedKey)) {
		t.Error("plaintext left")
	}
	found, err := points.Query(ctx, &qdrant.QueryPoints{CollectionName: "c"})
	if err != nil || secretOf(found.Result[1].Payload) != "words" || found.Result[1].Payload[seal.SealedKey] != nil {
		t.Fatalf("query: %v %v", found, err)
	}
	batch, err := points.QueryBatch(ctx, &qdrant.QueryBatchPoints{CollectionName: "c", QueryPoints: make([]*qdrant.QueryPoints, 2)})
	if err != nil || secretOf(batch.Result[1].Result[1].Payload) != "words" {
		t.Errorf("batch: %v", err)
	}
	if _, err := points.Upsert(ctx, upsert("looked-up")); err != nil {
		t.Fatal(err)
	}
	groups, err := points.QueryGroups(ctx, &qdrant.QueryPointGroups{CollectionName: "c", WithLookup: &qdrant.WithLookup{Collection: "looked-up"}})
	if err != nil || secretOf(groups.Result.Groups[0].Hits[0].Payload) != "words" || secretOf(groups.Result.Groups[0].Lookup.Payload) != "words" {
		t.Errorf("groups: %v", err)
	}
	if server.PolicyCalls != 2 {
		t.Errorf("%d policy calls for two collections", server.PolicyCalls)
	}
}

func TestPartialUpdatesAndBatches(t *testing.T) {
	server, conn, _ := setUp(t)
	ctx, points := t.Context(), qdrant.NewPointsClient(conn)
	if _, err := points.Upsert(ctx, upsert("c")); err != nil {
		t.Fatal(err)
	}
	more := map[string]*qdrant.Value{"more": text("x")}
	if _, err := points.SetPayload(ctx, &qdrant.SetPayloadPoints{CollectionName: "c", PointsSelector: byIDs(0, 1), Payload: more}); err != nil {
		t.Fatal(err)
	}
	found, err := points.Query(ctx, &qdrant.QueryPoints{CollectionName: "c"})
	if err != nil || secretOf(found.Result[1].Payload) != "words" || found.Result[1].Payload["more"].GetStringValue() != "x" {
		t.Fatalf("%v %v", found, err)
	}
	answer, err := points.UpdateBatch(ctx, &qdrant.UpdateBatchPoints{CollectionName: "c", Operations: []*qdrant.PointsUpdateOperation{
		{Operation: &qdrant.PointsUpdateOperation_Upsert{Upsert: &qdrant.PointsUpdateOperation_PointStructList{Points: upsert("c").Points}}},
		{Operation: &qdrant.PointsUpdateOperation_SetPayload_{SetPayload: &qdrant.PointsUpdateOperation_SetPayload{PointsSelector: byIDs(0, 1), Payload: more}}},
		{Operation: &qdrant.PointsUpdateOperation_DeletePoints_{DeletePoints: &qdrant.PointsUpdateOperation_DeletePoints{Points: byIDs(9)}}},
	}})
	if err != nil || len(answer.Result) != 3 || answer.Result[1].GetOperationId() != 2 || answer.Result[2].GetOperationId() != 3 {
		t.Errorf("one result for each operation given: %v %v", answer, err)
	}
	written := server.Written()
	sent := written[len(written)-1]
	raw, _ := proto.Marshal(sent)
	if bytes.Contains(raw, []byte("words")) || len(sent.(*qdrant.UpdateBatchPoints).Operations) != 4 {
		t.Errorf("sent %v", sent)
	}
}

func TestFailsClosed(t *testing.T) {
	server, conn, _ := setUp(t)
	ctx, points := t.Context(), qdrant.NewPointsClient(conn)
	secret := map[string]*qdrant.Value{"secret": text("words")}
	byFilter := &qdrant.PointsSelector{PointsSelectorOneOf: &qdrant.PointsSelector_Filter{Filter: &qdrant.Filter{}}}
	for name, request := range map[string]*qdrant.SetPayloadPoints{
		"by ids, not by a filter":      {CollectionName: "c", PointsSelector: byFilter, Payload: secret},
		"write the whole field":        {CollectionName: "c", PointsSelector: byIDs(1), Payload: secret, Key: proto.String("a.b")},
		"holds no ids":                 {CollectionName: "c", PointsSelector: byIDs(), Payload: secret},
		"$sealpoint is reserved":       {CollectionName: "c", PointsSelector: byIDs(1), Payload: map[string]*qdrant.Value{seal.SealedKey: text("x")}},
		"by ids, not by a filter, nil": {CollectionName: "c", Payload: secret},
	} {
		_, err := points.SetPayload(ctx, request)
		if want, _, _ := strings.Cut(name, ", nil"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, point := range map[string]*qdrant.PointStruct{
		"no id":      {Payload: secret},
		"public key": {Id: num(1), Payload: secret, PublicKey: proto.String("nonsense")},
		"beside":     {Id: num(1), Payload: map[string]*qdrant.Value{seal.SealedKey: text("x"), "secret": text("words")}},
		"not a list": {Id: num(1), Payload: map[string]*qdrant.Value{seal.SealedKey: text("x")}},
	} {
		_, err := points.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: "c", Points: []*qdrant.PointStruct{point}})
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "words") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := conn.Invoke(ctx, "/x.Y/Z", &sealpointv1.BulkUpsertChunk{}, &qdrant.PointsOperationResponse{}); err == nil || !strings.Contains(err.Error(), "cannot be sealed") {
		t.Errorf("an unknown carrier: %v", err)
	}
	if len(server.Written()) != 0 {
		t.Errorf("%d writes arrived", len(server.Written()))
	}
}

func TestStreams(t *testing.T) {
	server, conn, key := setUp(t)
	ingest := sealpointv1.NewIngestClient(conn)
	stream, err := ingest.BulkUpsert(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start := &sealpointv1.BulkUpsertStart{CollectionName: "c", StreamId: "s", PublicKey: proto.String(key.Public().Hex())}
	chunk := &sealpointv1.BulkUpsertChunk{Sequence: 1, Points: upsert("c").Points}
	for _, request := range []*sealpointv1.BulkUpsertRequest{
		{Message: &sealpointv1.BulkUpsertRequest_Start{Start: start}}, {Message: &sealpointv1.BulkUpsertRequest_Chunk{Chunk: chunk}},
	} {
		if err := stream.Send(request); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	bad := &sealpointv1.BulkUpsertChunk{Sequence: 2, Points: []*qdrant.PointStruct{{}}}
	if err := stream.Send(&sealpointv1.BulkUpsertRequest{Message: &sealpointv1.BulkUpsertRequest_Chunk{Chunk: bad}}); err == nil {
		t.Error("a point without an id was sent")
	}
	raw, _ := proto.Marshal(server.Written()[0])
	if bytes.Contains(raw, []byte("words")) {
		t.Error("plaintext left in the stream")
	}
	scroll, err := ingest.Scroll(t.Context(), &sealpointv1.ScrollRequest{CollectionName: "c", PageSize: 10})
	if err != nil {
		t.Fatal(err)
	}
	page, err := scroll.Recv()
	if err != nil || secretOf(page.Points[1].Payload) != "words" {
		t.Errorf("scroll: %v %v", page, err)
	}
}
