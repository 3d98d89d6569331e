// Package compat does the first steps with Qdrant's own Go client against a running Sealpoint: SEALPOINT_TEST_GRPC=127.0.0.1:6334 go test ./...
// The interceptor under the same client is tried in clients/go/test/qdrantclient.
package compat

import (
	"context"
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const uuid = "550e8400-e29b-41d4-a716-446655440000"

func connect(t *testing.T) *qdrant.Client {
	t.Helper()
	target := os.Getenv("SEALPOINT_TEST_GRPC")
	if target == "" {
		t.Skip("SEALPOINT_TEST_GRPC=host:port is not set: no running server to try")
	}
	host, text, err := net.SplitHostPort(target)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	// A test binary does not tell the client its own version, so it cannot compare versions.
	client, err := qdrant.NewClient(&qdrant.Config{Host: host, Port: port, SkipCompatibilityCheck: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func refused(t *testing.T, err error, code codes.Code, message string) {
	t.Helper()
	answer, ok := status.FromError(err)
	if err == nil || !ok || answer.Code() != code || !strings.Contains(err.Error(), message) {
		t.Errorf("got %v, want %v: %s", err, code, message)
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

func idOf(id *qdrant.PointId) string {
	if id.GetUuid() != "" {
		return id.GetUuid()
	}
	return strconv.FormatUint(id.GetNum(), 10)
}

func idsOf[P interface{ GetId() *qdrant.PointId }](points []P) string {
	var ids []string
	for _, point := range points {
		ids = append(ids, idOf(point.GetId()))
	}
	return strings.Join(ids, " ")
}

func want(t *testing.T, what string, got, wanted any) {
	t.Helper()
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("%s: got %v, want %v", what, got, wanted)
	}
}

func TestFirstSteps(t *testing.T) {
	client := connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	name := fmt.Sprintf("go-first-steps-%d", time.Now().UnixNano())
	health := must[*qdrant.HealthCheckReply](t)(client.HealthCheck(ctx))
	want(t, "title", health.GetTitle(), "qdrant - vector search engine")

	create := &qdrant.CreateCollection{
		CollectionName: name, VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Dot}),
	}
	if err := client.CreateCollection(ctx, create); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.DeleteCollection(context.Background(), name) })
	refused(t, client.CreateCollection(ctx, create), codes.AlreadyExists, "Wrong input: Collection `"+name+"` already exists!")
	want(t, "exists", must[bool](t)(client.CollectionExists(ctx, name)), true)
	want(t, "listed", slices.Contains(must[[]string](t)(client.ListCollections(ctx)), name), true)

	payload := func(n int) map[string]*qdrant.Value {
		return qdrant.NewValueMap(map[string]any{"n": n, "parity": []string{"even", "odd"}[n%2], "list": []any{1.5, nil, map[string]any{"x": true}}})
	}
	var points []*qdrant.PointStruct
	for n := 1; n <= 6; n++ {
		points = append(points, &qdrant.PointStruct{Id: qdrant.NewIDNum(uint64(n)), Vectors: qdrant.NewVectors(float32(n), 1), Payload: payload(n)})
	}
	points = append(points, &qdrant.PointStruct{Id: qdrant.NewID(uuid), Vectors: qdrant.NewVectors(0, 9), Payload: payload(100)})
	wait := proto.Bool(true)
	written := must[*qdrant.UpdateResult](t)(client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: name, Wait: wait, Points: points}))
	want(t, "status", written.GetStatus(), qdrant.UpdateStatus_Completed)
	must[*qdrant.UpdateResult](t)(client.CreateFieldIndex(ctx, &qdrant.CreateFieldIndexCollection{
		CollectionName: name, Wait: wait, FieldName: "parity", FieldType: qdrant.FieldType_FieldTypeKeyword.Enum(),
	}))
	info := must[*qdrant.CollectionInfo](t)(client.GetCollectionInfo(ctx, name))
	want(t, "points", info.GetPointsCount(), uint64(7))
	want(t, "schema", info.GetPayloadSchema()["parity"].GetDataType(), qdrant.PayloadSchemaType_Keyword)
	want(t, "distance", info.GetConfig().GetParams().GetVectorsConfig().GetParams().GetDistance(), qdrant.Distance_Dot)

	query := func(request *qdrant.QueryPoints) []*qdrant.ScoredPoint {
		t.Helper()
		request.CollectionName = name
		return must[[]*qdrant.ScoredPoint](t)(client.Query(ctx, request))
	}
	odd := &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("parity", "odd")}}
	hits := query(&qdrant.QueryPoints{
		Query: qdrant.NewQuery(1, 0), Filter: odd, Limit: proto.Uint64(2), WithPayload: qdrant.NewWithPayload(true), WithVectors: qdrant.NewWithVectors(true),
	})
	want(t, "hits", idsOf(hits), "5 3")
	want(t, "score", hits[0].GetScore(), float32(5))
	want(t, "vector", hits[0].GetVectors().GetVector().GetDense().GetData(), []float32{5, 1})
	if got := (&qdrant.PointStruct{Payload: hits[0].Payload}); !proto.Equal(got, &qdrant.PointStruct{Payload: payload(5)}) {
		t.Errorf("payload: %v", got)
	}
	want(t, "threshold", idsOf(query(&qdrant.QueryPoints{Query: qdrant.NewQuery(1, 0), ScoreThreshold: proto.Float32(5)})), "6 5")
	want(t, "offset", idsOf(query(&qdrant.QueryPoints{Query: qdrant.NewQuery(1, 0), Offset: proto.Uint64(4), Limit: proto.Uint64(1)})), "2")
	some := &qdrant.Filter{
		Should:  []*qdrant.Condition{qdrant.NewRange("n", &qdrant.Range{Gte: proto.Float64(6)}), qdrant.NewHasID(qdrant.NewIDNum(1), qdrant.NewIDNum(2))},
		MustNot: []*qdrant.Condition{qdrant.NewMatchInt("n", 2)},
	}
	page, next, err := client.ScrollAndOffset(ctx, &qdrant.ScrollPoints{CollectionName: name, Filter: some, Limit: proto.Uint32(2)})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "page", idsOf(page)+" then "+idOf(next), "1 6 then "+uuid)
	want(t, "count", must[uint64](t)(client.Count(ctx, &qdrant.CountPoints{CollectionName: name, Filter: odd, Exact: proto.Bool(true)})), uint64(3))
	got := must[[]*qdrant.RetrievedPoint](t)(client.Get(ctx, &qdrant.GetPoints{CollectionName: name, Ids: []*qdrant.PointId{qdrant.NewID(uuid), qdrant.NewIDNum(55)}}))
	want(t, "get", idsOf(got), uuid)

	one := qdrant.NewPointsSelector(qdrant.NewIDNum(1))
	must[*qdrant.UpdateResult](t)(client.SetPayload(ctx, &qdrant.SetPayloadPoints{
		CollectionName: name, Wait: wait, PointsSelector: one, Payload: qdrant.NewValueMap(map[string]any{"more": "x"}),
	}))
	must[*qdrant.UpdateResult](t)(client.DeletePayload(ctx, &qdrant.DeletePayloadPoints{
		CollectionName: name, Wait: wait, PointsSelector: one, Keys: []string{"n", "list"},
	}))
	read := func(id uint64) *qdrant.PointStruct {
		t.Helper()
		found := must[[]*qdrant.RetrievedPoint](t)(client.Get(ctx, &qdrant.GetPoints{
			CollectionName: name, Ids: []*qdrant.PointId{qdrant.NewIDNum(id)}, WithPayload: qdrant.NewWithPayload(true),
		}))
		if len(found) != 1 {
			t.Fatalf("point %d is not there", id)
		}
		return &qdrant.PointStruct{Payload: found[0].Payload}
	}
	if !proto.Equal(read(1), &qdrant.PointStruct{Payload: qdrant.NewValueMap(map[string]any{"parity": "odd", "more": "x"})}) {
		t.Errorf("payload: %v", read(1))
	}
	must[*qdrant.UpdateResult](t)(client.OverwritePayload(ctx, &qdrant.SetPayloadPoints{
		CollectionName: name, Wait: wait, PointsSelector: one, Payload: qdrant.NewValueMap(map[string]any{"only": 1}),
	}))
	if !proto.Equal(read(1), &qdrant.PointStruct{Payload: qdrant.NewValueMap(map[string]any{"only": 1})}) {
		t.Errorf("payload: %v", read(1))
	}
	must[*qdrant.UpdateResult](t)(client.ClearPayload(ctx, &qdrant.ClearPayloadPoints{CollectionName: name, Wait: wait, Points: one}))
	want(t, "cleared", len(read(1).Payload), 0)
	must[*qdrant.UpdateResult](t)(client.UpdateVectors(ctx, &qdrant.UpdatePointVectors{
		CollectionName: name, Wait: wait, Points: []*qdrant.PointVectors{{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(70, 0)}},
	}))
	want(t, "moved", idsOf(query(&qdrant.QueryPoints{Query: qdrant.NewQuery(1, 0), Limit: proto.Uint64(1)})), "1")
	answers := must[[]*qdrant.UpdateResult](t)(client.UpdateBatch(ctx, &qdrant.UpdateBatchPoints{CollectionName: name, Wait: wait, Operations: []*qdrant.PointsUpdateOperation{
		qdrant.NewPointsUpdateUpsert(&qdrant.PointsUpdateOperation_PointStructList{Points: []*qdrant.PointStruct{{Id: qdrant.NewIDNum(9), Vectors: qdrant.NewVectors(1, 1)}}}),
		qdrant.NewPointsUpdateDeletePoints(&qdrant.PointsUpdateOperation_DeletePoints{Points: one}),
	}}))
	want(t, "batch", len(answers), 2)
	must[*qdrant.UpdateResult](t)(client.Delete(ctx, &qdrant.DeletePoints{CollectionName: name, Wait: wait, Points: qdrant.NewPointsSelectorFilter(odd)}))
	all := must[[]*qdrant.RetrievedPoint](t)(client.Scroll(ctx, &qdrant.ScrollPoints{CollectionName: name}))
	want(t, "left", idsOf(all), "2 4 6 9 "+uuid)

	_, err = client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: name, Points: []*qdrant.PointStruct{{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1)}}})
	refused(t, err, codes.InvalidArgument, "Wrong input: Vector dimension error: expected dim: 2, got 1")
	_, err = client.Query(ctx, &qdrant.QueryPoints{CollectionName: "nowhere", Query: qdrant.NewQuery(1)})
	refused(t, err, codes.NotFound, "Not found: Collection `nowhere` doesn't exist!")
	_, err = client.Query(ctx, &qdrant.QueryPoints{CollectionName: name, Query: qdrant.NewQuery(1, 0), Using: proto.String("foo")})
	refused(t, err, codes.InvalidArgument, "Wrong input: Not existing vector name error: foo")

	alias := name + "-alias"
	if err := client.CreateAlias(ctx, alias, name); err != nil {
		t.Fatal(err)
	}
	want(t, "aliases", must[[]string](t)(client.ListCollectionAliases(ctx, name)), []string{alias})
	if err := client.RenameAlias(ctx, alias, alias+"2"); err != nil {
		t.Fatal(err)
	}
	want(t, "count by alias", must[uint64](t)(client.Count(ctx, &qdrant.CountPoints{CollectionName: alias + "2"})), uint64(5))
	if err := client.DeleteAlias(ctx, alias+"2"); err != nil {
		t.Fatal(err)
	}
	if err := client.DeleteCollection(ctx, name); err != nil {
		t.Fatal(err)
	}
	want(t, "exists", must[bool](t)(client.CollectionExists(ctx, name)), false)
}

func TestNamedVectors(t *testing.T) {
	client := connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	name := fmt.Sprintf("go-named-%d", time.Now().UnixNano())
	err := client.CreateCollection(ctx, &qdrant.CreateCollection{CollectionName: name, VectorsConfig: qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{
		"image": {Size: 2, Distance: qdrant.Distance_Euclid}, "text": {Size: 3, Distance: qdrant.Distance_Manhattan},
	})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.DeleteCollection(context.Background(), name) })
	must[*qdrant.UpdateResult](t)(client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: name, Wait: proto.Bool(true), Points: []*qdrant.PointStruct{
		{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{"image": qdrant.NewVector(3, 4), "text": qdrant.NewVector(1, 1, 1)})},
		{Id: qdrant.NewIDNum(2), Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{"image": qdrant.NewVector(0, 1)})},
	}}))
	hits := must[[]*qdrant.ScoredPoint](t)(client.Query(ctx, &qdrant.QueryPoints{CollectionName: name, Query: qdrant.NewQuery(0, 0), Using: proto.String("image")}))
	want(t, "image", fmt.Sprintln(idsOf(hits), hits[0].GetScore(), hits[1].GetScore()), "2 1 1 5\n")
	hits = must[[]*qdrant.ScoredPoint](t)(client.Query(ctx, &qdrant.QueryPoints{
		CollectionName: name, Query: qdrant.NewQuery(0, 0, 0), Using: proto.String("text"), WithVectors: qdrant.NewWithVectorsInclude("text"),
	}))
	want(t, "text", fmt.Sprintln(idsOf(hits), hits[0].GetScore()), "1 3\n")
	vectors := hits[0].GetVectors().GetVectors().GetVectors()
	want(t, "selected", vectors["text"].GetDense().GetData(), []float32{1, 1, 1})
	want(t, "selected only", len(vectors), 1)
	must[*qdrant.UpdateResult](t)(client.DeleteVectors(ctx, &qdrant.DeletePointVectors{
		CollectionName: name, Wait: proto.Bool(true), PointsSelector: qdrant.NewPointsSelector(qdrant.NewIDNum(1)), Vectors: &qdrant.VectorsSelector{Names: []string{"text"}},
	}))
	hits = must[[]*qdrant.ScoredPoint](t)(client.Query(ctx, &qdrant.QueryPoints{CollectionName: name, Query: qdrant.NewQuery(0, 0, 0), Using: proto.String("text")}))
	want(t, "deleted", len(hits), 0)
}
