// Package qdrantclient tries the interceptor under Qdrant's own Go client. It is a module of its own: a binary links either
// this client's generated code or Sealpoint's, since both define the protobuf package qdrant.
package qdrantclient

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"sealpoint.dev/go/interceptor"
	"sealpoint.dev/go/messages"
	"sealpoint.dev/go/seal"
)

// server keeps the points of one collection as they arrive.
type server struct {
	qdrant.UnimplementedPointsServer
	mu     sync.Mutex
	points []*qdrant.PointStruct
	id     []byte
}

func (s *server) Upsert(_ context.Context, r *qdrant.UpsertPoints) (*qdrant.PointsOperationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.points = r.Points
	return &qdrant.PointsOperationResponse{Result: &qdrant.UpdateResult{}}, nil
}

func (s *server) Query(context.Context, *qdrant.QueryPoints) (*qdrant.QueryResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &qdrant.QueryResponse{}
	for _, p := range s.points {
		answer.Result = append(answer.Result, &qdrant.ScoredPoint{Id: p.Id, Payload: p.Payload})
	}
	return answer, nil
}

// policy answers GetPolicy without generated code.
func (s *server) policy(_ any, stream grpc.ServerStream) error {
	if method, _ := grpc.MethodFromServerStream(stream); method != messages.GetPolicyMethod {
		return status.Error(codes.Unimplemented, method)
	}
	if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
		return err
	}
	state := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), s.id)
	answer := &emptypb.Empty{}
	answer.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), state))
	return stream.SendMsg(answer)
}

func startServer(t *testing.T) (*server, int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{id: bytes.Repeat([]byte{7}, 16)}
	g := grpc.NewServer(grpc.UnknownServiceHandler(s.policy))
	qdrant.RegisterPointsServer(g, s)
	go func() { _ = g.Serve(listener) }()
	t.Cleanup(g.Stop)
	return s, listener.Addr().(*net.TCPAddr).Port
}

func newKey(t *testing.T) *seal.PrivateKey {
	t.Helper()
	key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newClient(t *testing.T, host string, port int, config *interceptor.Config) *qdrant.Client {
	t.Helper()
	options := &qdrant.Config{Host: host, Port: port, SkipCompatibilityCheck: true}
	if config != nil {
		i, err := interceptor.New(*config)
		if err != nil {
			t.Fatal(err)
		}
		options.GrpcOptions = i.DialOptions()
	}
	client, err := qdrant.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func points() []*qdrant.PointStruct {
	return []*qdrant.PointStruct{
		{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1, 0), Payload: qdrant.NewValueMap(map[string]any{"secret": "words 1", "n": 1, "pos": "n"})},
		{
			Id: qdrant.NewID("550e8400-e29b-41d4-a716-446655440000"), Vectors: qdrant.NewVectors(0, 1),
			Payload: qdrant.NewValueMap(map[string]any{"secret": "words 2", "f": 2.0, "list": []any{1, 2.5, nil}, "pos": "v"}),
		},
	}
}

func roundTrip(t *testing.T, host string, port int, collection string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	key := newKey(t)
	sealing := &interceptor.Config{Recipient: key.Public(), PrivateKeys: []*seal.PrivateKey{key}, ClearFields: []string{"pos"}}
	client, plain := newClient(t, host, port, sealing), newClient(t, host, port, nil)
	if _, err := client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: collection, Wait: proto.Bool(true), Points: points()}); err != nil {
		t.Fatal(err)
	}
	query := &qdrant.QueryPoints{CollectionName: collection, Query: qdrant.NewQuery(1, 0.5), WithPayload: qdrant.NewWithPayload(true)}
	stored, err := plain.Query(ctx, query)
	if err != nil || len(stored) != 2 {
		t.Fatal(stored, err)
	}
	for _, point := range stored {
		raw, _ := proto.Marshal(point)
		if bytes.Contains(raw, []byte("words")) || point.Payload[seal.SealedKey] == nil || point.Payload["pos"] == nil {
			t.Errorf("stored in the clear: %v", point)
		}
	}
	opened, err := client.Query(ctx, query)
	if err != nil || len(opened) != 2 {
		t.Fatal(opened, err)
	}
	for i, point := range opened {
		want := &qdrant.PointStruct{Payload: points()[i].Payload}
		if got := (&qdrant.PointStruct{Payload: point.Payload}); !proto.Equal(got, want) {
			t.Errorf("opened %v, want %v", got, want)
		}
	}
	bad := &qdrant.UpsertPoints{CollectionName: collection, Points: []*qdrant.PointStruct{{Payload: points()[0].Payload}}}
	if _, err := client.Upsert(ctx, bad); err == nil {
		t.Error("a point without an id was sent")
	}
}

func TestInterceptorUnderQdrantsClient(t *testing.T) {
	_, port := startServer(t)
	roundTrip(t, "127.0.0.1", port, "c")
}

// TestLive does the same first steps against a running server.
func TestLive(t *testing.T) {
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
	name := fmt.Sprintf("go-qdrantclient-%d", time.Now().UnixNano())
	plain := newClient(t, host, port, nil)
	ctx := t.Context()
	err = plain.CreateCollection(ctx, &qdrant.CreateCollection{
		CollectionName: name, VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Cosine}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.DeleteCollection(context.Background(), name) }()
	roundTrip(t, host, port, name)
	if count, err := plain.Count(ctx, &qdrant.CountPoints{CollectionName: name, Exact: proto.Bool(true)}); err != nil || count != 2 {
		t.Errorf("count %d %v", count, err)
	}
}
