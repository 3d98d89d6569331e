// Package fakeserver is a server in the test's process, of the generated stubs: it keeps what arrives as it arrives, and
// cuts streams on demand.
package fakeserver

import (
	"context"
	"crypto/rand"
	"net"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"sealpoint.dev/go/gen/qdrant"
	policyv1 "sealpoint.dev/go/gen/sealpoint/policy/v1"
	sealpointv1 "sealpoint.dev/go/gen/sealpoint/v1"
	"sealpoint.dev/go/seal"
)

// Server holds points by collection, in the order of their first write.
type Server struct {
	qdrant.UnimplementedPointsServer
	sealpointv1.UnimplementedSealingServer

	Target string
	Mu     sync.Mutex
	Points map[string][]*qdrant.PointStruct
	// Requests are the writes, chunks included.
	Requests    []proto.Message
	SealingIDs  map[string][]byte
	PolicyCalls int
	Streams     map[string]uint64
	// Cuts tells how many chunks each connection takes before it is cut; one without an entry is not cut.
	Cuts        []int
	Connections int
}

// ingest and s5 are types of their own, since their services share method names with Points.
type ingest struct {
	sealpointv1.UnimplementedIngestServer
	*Server
}

type s5 struct {
	sealpointv1.UnimplementedS5Server
}

// Start runs a server until the test ends.
func Start(t *testing.T) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Target: listener.Addr().String(), Points: map[string][]*qdrant.PointStruct{}, SealingIDs: map[string][]byte{}, Streams: map[string]uint64{},
	}
	g := grpc.NewServer()
	qdrant.RegisterPointsServer(g, s)
	sealpointv1.RegisterIngestServer(g, ingest{Server: s})
	sealpointv1.RegisterSealingServer(g, s)
	sealpointv1.RegisterS5Server(g, s5{})
	go func() { _ = g.Serve(listener) }()
	t.Cleanup(g.Stop)
	return s
}

// Written returns the writes so far.
func (s *Server) Written() []proto.Message {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return slices.Clone(s.Requests)
}

func (s *Server) find(collection string, id *qdrant.PointId) *qdrant.PointStruct {
	for _, point := range s.Points[collection] {
		if proto.Equal(point.Id, id) {
			return point
		}
	}
	return nil
}

func (s *Server) store(collection string, points []*qdrant.PointStruct) {
	for _, point := range points {
		if old := s.find(collection, point.Id); old != nil {
			proto.Reset(old)
			proto.Merge(old, point)
		} else {
			s.Points[collection] = append(s.Points[collection], point)
		}
	}
}

func (s *Server) Upsert(_ context.Context, r *qdrant.UpsertPoints) (*qdrant.PointsOperationResponse, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Requests = append(s.Requests, r)
	s.store(r.CollectionName, r.Points)
	return &qdrant.PointsOperationResponse{}, nil
}

func (s *Server) set(r *qdrant.SetPayloadPoints, replace bool) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Requests = append(s.Requests, r)
	for _, id := range r.GetPointsSelector().GetPoints().GetIds() {
		point := s.find(r.CollectionName, id)
		before := point.Payload[seal.SealedKey].GetListValue().GetValues()
		if replace {
			point.Payload, before = map[string]*qdrant.Value{}, nil
		}
		for key, value := range r.Payload {
			point.Payload[key] = value
			if list := value.GetListValue(); key == seal.SealedKey {
				list.Values = append(slices.Clone(before), list.Values...)
			}
		}
	}
}

func (s *Server) SetPayload(_ context.Context, r *qdrant.SetPayloadPoints) (*qdrant.PointsOperationResponse, error) {
	s.set(r, false)
	return &qdrant.PointsOperationResponse{}, nil
}

func (s *Server) OverwritePayload(_ context.Context, r *qdrant.SetPayloadPoints) (*qdrant.PointsOperationResponse, error) {
	s.set(r, true)
	return &qdrant.PointsOperationResponse{}, nil
}

func (s *Server) UpdateBatch(_ context.Context, r *qdrant.UpdateBatchPoints) (*qdrant.UpdateBatchResponse, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Requests = append(s.Requests, r)
	answer := &qdrant.UpdateBatchResponse{}
	for i := range r.Operations {
		answer.Result = append(answer.Result, &qdrant.UpdateResult{OperationId: proto.Uint64(uint64(i))})
	}
	return answer, nil
}

func retrieved(p *qdrant.PointStruct) *qdrant.RetrievedPoint {
	return proto.Clone(&qdrant.RetrievedPoint{Id: p.Id, Payload: p.Payload}).(*qdrant.RetrievedPoint)
}

func scored(p *qdrant.PointStruct) *qdrant.ScoredPoint {
	return proto.Clone(&qdrant.ScoredPoint{Id: p.Id, Payload: p.Payload, Score: 0.5}).(*qdrant.ScoredPoint)
}

func (s *Server) Get(_ context.Context, r *qdrant.GetPoints) (*qdrant.GetResponse, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	answer := &qdrant.GetResponse{}
	for _, id := range r.Ids {
		answer.Result = append(answer.Result, retrieved(s.find(r.CollectionName, id)))
	}
	return answer, nil
}

func (s *Server) Query(_ context.Context, r *qdrant.QueryPoints) (*qdrant.QueryResponse, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	answer := &qdrant.QueryResponse{}
	for _, p := range s.Points[r.CollectionName] {
		answer.Result = append(answer.Result, scored(p))
	}
	return answer, nil
}

func (s *Server) QueryBatch(ctx context.Context, r *qdrant.QueryBatchPoints) (*qdrant.QueryBatchResponse, error) {
	answer := &qdrant.QueryBatchResponse{}
	for range r.QueryPoints {
		one, _ := s.Query(ctx, &qdrant.QueryPoints{CollectionName: r.CollectionName})
		answer.Result = append(answer.Result, &qdrant.BatchResult{Result: one.Result})
	}
	return answer, nil
}

func (s *Server) QueryGroups(_ context.Context, r *qdrant.QueryPointGroups) (*qdrant.QueryGroupsResponse, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	group := &qdrant.PointGroup{Hits: []*qdrant.ScoredPoint{scored(s.Points[r.CollectionName][0])}}
	group.Lookup = retrieved(s.Points[r.GetWithLookup().GetCollection()][0])
	return &qdrant.QueryGroupsResponse{Result: &qdrant.GroupsResult{Groups: []*qdrant.PointGroup{group}}}, nil
}

// GetPolicy answers with a dishonest policy too: clients must not take recipients or clear fields from it.
func (s *Server) GetPolicy(_ context.Context, r *sealpointv1.GetPolicyRequest) (*sealpointv1.GetPolicyResponse, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.PolicyCalls++
	id := s.SealingIDs[r.CollectionName]
	if id == nil {
		id = make([]byte, 16)
		_, _ = rand.Read(id)
		s.SealingIDs[r.CollectionName] = id
	}
	return &sealpointv1.GetPolicyResponse{State: &policyv1.SealingState{
		Policy:    &policyv1.SealingPolicy{Mode: policyv1.SealingMode_SEALING_MODE_REQUIRED, ClearFields: []string{"secret"}},
		SealingId: id, AcceptedSealingIds: [][]byte{id}, Epoch: 3,
	}}, nil
}

func (s ingest) Scroll(r *sealpointv1.ScrollRequest, stream grpc.ServerStreamingServer[sealpointv1.ScrollResponse]) error {
	s.Mu.Lock()
	points := slices.Clone(s.Points[r.CollectionName])
	s.Mu.Unlock()
	for chunk := range slices.Chunk(points, max(int(r.PageSize), 1)) {
		page := &sealpointv1.ScrollResponse{}
		for _, p := range chunk {
			page.Points = append(page.Points, retrieved(p))
		}
		if err := stream.Send(page); err != nil {
			return err
		}
	}
	return nil
}

func (s ingest) BulkUpsert(stream grpc.BidiStreamingServer[sealpointv1.BulkUpsertRequest, sealpointv1.BulkUpsertResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	s.Mu.Lock()
	s.Connections++
	left := -1
	if len(s.Cuts) > 0 {
		left, s.Cuts = s.Cuts[0], s.Cuts[1:]
	}
	last := s.Streams[start.GetStreamId()]
	s.Mu.Unlock()
	started := &sealpointv1.BulkUpsertStarted{LastAppliedSequence: last, ChunkPointsMax: 10_000, BytesInFlightMax: 1 << 24}
	if err := stream.Send(&sealpointv1.BulkUpsertResponse{Message: &sealpointv1.BulkUpsertResponse_Started{Started: started}}); err != nil {
		return err
	}
	for {
		request, err := stream.Recv()
		if err != nil {
			return nil
		}
		chunk := request.GetChunk()
		s.Mu.Lock()
		stored := s.Streams[start.GetStreamId()]
		applied := chunk.GetSequence() == stored+1
		if applied {
			s.Streams[start.GetStreamId()]++
			s.Requests = append(s.Requests, chunk)
			s.store(start.GetCollectionName(), chunk.GetPoints())
		}
		durable := s.Streams[start.GetStreamId()]
		s.Mu.Unlock()
		if chunk.GetSequence() > durable {
			return status.Error(codes.InvalidArgument, "a gap")
		}
		if left == 0 {
			// Applied, but the connection ends before the acknowledgement: the worst moment.
			return status.Error(codes.Unavailable, "cut")
		}
		left--
		ack := &sealpointv1.BulkUpsertAck{Sequence: chunk.GetSequence(), DurableSequence: durable, Applied: applied}
		if applied {
			ack.PointsApplied = uint32(len(chunk.GetPoints()))
		}
		if err := stream.Send(&sealpointv1.BulkUpsertResponse{Message: &sealpointv1.BulkUpsertResponse_Ack{Ack: ack}}); err != nil {
			return err
		}
	}
}

func (s5) Load(_ *sealpointv1.LoadRequest, stream grpc.ServerStreamingServer[sealpointv1.LoadResponse]) error {
	_ = stream.Send(&sealpointv1.LoadResponse{Event: &sealpointv1.LoadResponse_ManifestDownloaded{ManifestDownloaded: &sealpointv1.ManifestDownloaded{}}})
	return stream.Send(&sealpointv1.LoadResponse{Event: &sealpointv1.LoadResponse_LoadingComplete{LoadingComplete: &sealpointv1.LoadingComplete{VectorCount: 3}}})
}
