// Package sealpoint is a client of Sealpoint: collections, writes, queries and streams, sealing payloads before they leave
// and opening them when they come back.
//
// It links this module's generated code, which defines the protobuf package qdrant. A program that links
// github.com/qdrant/go-client too uses the packages seal and interceptor instead: protobuf allows one definition only.
package sealpoint

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"sealpoint.dev/go/gen/qdrant"
	policyv1 "sealpoint.dev/go/gen/sealpoint/policy/v1"
	sealpointv1 "sealpoint.dev/go/gen/sealpoint/v1"
	"sealpoint.dev/go/interceptor"
	"sealpoint.dev/go/messages"
	"sealpoint.dev/go/seal"
)

// messageBytesMax is the server's limit; grpc's own of 4 MiB is below what pages with vectors need.
const messageBytesMax = 64 << 20

// Options of a client. The zero value speaks plaintext and neither seals nor opens.
type Options struct {
	// Sealing is pinned on this side: recipients, clear fields, sealing ids, private keys.
	Sealing messages.Config
	APIKey  string
	// TLS switches TLS on.
	TLS         *tls.Config
	DialOptions []grpc.DialOption
}

// Client is a connection to one server, safe for concurrent use. Its stubs are the generated ones, without sealing.
type Client struct {
	Points      qdrant.PointsClient
	Collections qdrant.CollectionsClient
	Server      qdrant.QdrantClient
	Ingest      sealpointv1.IngestClient
	Sealing     sealpointv1.SealingClient
	Diagnostics sealpointv1.DiagnosticsClient
	S5          sealpointv1.S5Client

	conn   *grpc.ClientConn
	sealer *messages.Sealer
	apiKey string
}

// New connects to a server, such as "127.0.0.1:6334".
func New(target string, options Options) (*Client, error) {
	sealer, err := messages.NewSealer(options.Sealing)
	if err != nil {
		return nil, err
	}
	transport := insecure.NewCredentials()
	if options.TLS != nil {
		transport = credentials.NewTLS(options.TLS)
	}
	c := &Client{sealer: sealer, apiKey: options.APIKey}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytesMax), grpc.MaxCallSendMsgSize(messageBytesMax)),
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(c.withKey(ctx), method, in, out, cc, opts...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return stream(c.withKey(ctx), desc, cc, method, opts...)
		}),
	}
	c.conn, err = grpc.NewClient(target, append(dial, options.DialOptions...)...)
	if err != nil {
		return nil, err
	}
	c.Points, c.Collections = qdrant.NewPointsClient(c.conn), qdrant.NewCollectionsClient(c.conn)
	c.Server, c.Ingest = qdrant.NewQdrantClient(c.conn), sealpointv1.NewIngestClient(c.conn)
	c.Sealing, c.S5 = sealpointv1.NewSealingClient(c.conn), sealpointv1.NewS5Client(c.conn)
	c.Diagnostics = sealpointv1.NewDiagnosticsClient(c.conn)
	return c, nil
}

func (c *Client) withKey(ctx context.Context) context.Context {
	if c.apiKey == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "api-key", c.apiKey)
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Pin returns the sealing ids in use for a collection: fetched once, then kept.
func (c *Client) Pin(ctx context.Context, collection string) (*messages.Pin, error) {
	return c.sealer.Pin(ctx, collection, func(ctx context.Context, request []byte) ([]byte, error) {
		return interceptor.FetchPolicy(ctx, c.conn, request)
	})
}

// Vector describes a dense vector.
type Vector struct {
	Size     uint64
	Distance qdrant.Distance
}

// CreateCollection creates a collection with one unnamed vector; policy may be nil. Use the stub Collections for more.
func (c *Client) CreateCollection(ctx context.Context, name string, vector Vector, policy *policyv1.SealingPolicy) error {
	_, err := c.Collections.Create(ctx, &qdrant.CreateCollection{
		CollectionName: name,
		VectorsConfig: &qdrant.VectorsConfig{Config: &qdrant.VectorsConfig_Params{
			Params: &qdrant.VectorParams{Size: vector.Size, Distance: vector.Distance},
		}},
		Sealing: policy,
	})
	return err
}

// DeleteCollection deletes a collection and forgets its pin: a new one of the name has a sealing id of its own.
func (c *Client) DeleteCollection(ctx context.Context, name string) (bool, error) {
	answer, err := c.Collections.Delete(ctx, &qdrant.DeleteCollection{CollectionName: name})
	if err != nil {
		return false, err
	}
	c.sealer.Forget(name)
	return answer.GetResult(), nil
}

// ListCollections names all collections.
func (c *Client) ListCollections(ctx context.Context) ([]string, error) {
	answer, err := c.Collections.List(ctx, &qdrant.ListCollectionsRequest{})
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(answer.GetCollections()))
	for _, item := range answer.GetCollections() {
		names = append(names, item.GetName())
	}
	return names, nil
}

// CollectionExists takes an alias too.
func (c *Client) CollectionExists(ctx context.Context, name string) (bool, error) {
	answer, err := c.Collections.CollectionExists(ctx, &qdrant.CollectionExistsRequest{CollectionName: name})
	return answer.GetResult().GetExists(), err
}

// WriteOptions of one write.
type WriteOptions struct {
	// Seal names the recipient for sealing on this side and wins over the pinned one; a point's own wins over both.
	Seal *seal.PublicKey
	// PublicKey asks the server to seal instead: it then sees the payloads.
	PublicKey *seal.PublicKey
	// FreshEphemeral makes an ephemeral key for every point.
	FreshEphemeral bool
	// NoWait returns before the write is durable.
	NoWait bool
}

func (c *Client) sealsHere(options WriteOptions, pointKeys bool) (bool, error) {
	here := c.sealer.Seals() || options.Seal != nil || pointKeys
	if here && options.PublicKey != nil {
		return false, fmt.Errorf("PublicKey asks the server to seal, but this client seals on its own side")
	}
	return here, nil
}

// Upsert writes points.
func (c *Client) Upsert(ctx context.Context, collection string, points []Point, options WriteOptions) error {
	request := &qdrant.UpsertPoints{CollectionName: collection, Wait: proto.Bool(!options.NoWait)}
	keys := false
	for i := range points {
		point, err := points[i].message()
		if err != nil {
			return fmt.Errorf("points[%d]: %w", i, err)
		}
		keys = keys || points[i].Seal != nil
		request.Points = append(request.Points, point)
	}
	if options.PublicKey != nil {
		request.PublicKey = proto.String(options.PublicKey.Hex())
	}
	if options.FreshEphemeral {
		request.FreshEphemeral = proto.Bool(true)
	}
	send, err := c.seal(ctx, qdrant.Points_Upsert_FullMethodName, collection, request, options, keys)
	if err != nil {
		return err
	}
	for _, message := range send {
		if _, err := c.Points.Upsert(ctx, message.(*qdrant.UpsertPoints)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) seal(ctx context.Context, method, collection string, request proto.Message, options WriteOptions, pointKeys bool) ([]proto.Message, error) {
	here, err := c.sealsHere(options, pointKeys)
	if err != nil {
		return nil, err
	}
	if !here {
		return []proto.Message{request}, nil
	}
	pin, err := c.Pin(ctx, collection)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	sealed, err := c.sealer.Seal(method, request, collection, pin, options.Seal)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed.Messages, nil
}

// SetPayload sets keys of points; on sealed points it appends an envelope.
func (c *Client) SetPayload(ctx context.Context, collection string, payload map[string]any, ids []ID, options WriteOptions) error {
	return c.updatePayload(ctx, qdrant.Points_SetPayload_FullMethodName, collection, payload, ids, options, c.Points.SetPayload)
}

// OverwritePayload replaces whole payloads.
func (c *Client) OverwritePayload(ctx context.Context, collection string, payload map[string]any, ids []ID, options WriteOptions) error {
	return c.updatePayload(ctx, qdrant.Points_OverwritePayload_FullMethodName, collection, payload, ids, options, c.Points.OverwritePayload)
}

func (c *Client) updatePayload(ctx context.Context, method, collection string, payload map[string]any, ids []ID, options WriteOptions,
	call func(context.Context, *qdrant.SetPayloadPoints, ...grpc.CallOption) (*qdrant.PointsOperationResponse, error),
) error {
	request := &qdrant.SetPayloadPoints{CollectionName: collection, Wait: proto.Bool(!options.NoWait), PointsSelector: selectIDs(ids)}
	if err := messages.SetPayload(request, payload); err != nil {
		return err
	}
	if options.PublicKey != nil {
		request.PublicKey = proto.String(options.PublicKey.Hex())
	}
	send, err := c.seal(ctx, method, collection, request, options, false)
	if err != nil {
		return err
	}
	for _, message := range send {
		if _, err := call(ctx, message.(*qdrant.SetPayloadPoints)); err != nil {
			return err
		}
	}
	return nil
}

// Delete deletes points.
func (c *Client) Delete(ctx context.Context, collection string, ids []ID) error {
	_, err := c.Points.Delete(ctx, &qdrant.DeletePoints{CollectionName: collection, Wait: proto.Bool(true), Points: selectIDs(ids)})
	return err
}

func selectIDs(ids []ID) *qdrant.PointsSelector {
	list := &qdrant.PointsIdsList{}
	for _, id := range ids {
		list.Ids = append(list.Ids, id.message())
	}
	return &qdrant.PointsSelector{PointsSelectorOneOf: &qdrant.PointsSelector_Points{Points: list}}
}

// QueryOptions of a search.
type QueryOptions struct {
	Limit          uint64
	Filter         *qdrant.Filter
	Using          string
	EF             uint64
	Exact          bool
	ScoreThreshold *float32
	Offset         uint64
	WithVectors    bool
	// PayloadKeys selects top-level or nested keys; all by default.
	PayloadKeys []string
	// Open gives private keys for this call; otherwise the client's own open what is sealed to them.
	Open []*seal.PrivateKey
}

// Query finds the points nearest to a vector.
func (c *Client) Query(ctx context.Context, collection string, vector []float32, options QueryOptions) ([]Hit, error) {
	request := &qdrant.QueryPoints{
		CollectionName: collection,
		Query: &qdrant.Query{Variant: &qdrant.Query_Nearest{Nearest: &qdrant.VectorInput{
			Variant: &qdrant.VectorInput_Dense{Dense: &qdrant.DenseVector{Data: vector}},
		}}},
		Filter:         options.Filter,
		ScoreThreshold: options.ScoreThreshold,
		WithPayload:    withPayload(options.PayloadKeys),
		WithVectors:    withVectors(options.WithVectors),
	}
	if options.Limit > 0 {
		request.Limit = proto.Uint64(options.Limit)
	}
	if options.Offset > 0 {
		request.Offset = proto.Uint64(options.Offset)
	}
	if options.Using != "" {
		request.Using = proto.String(options.Using)
	}
	if options.EF > 0 || options.Exact {
		request.Params = &qdrant.SearchParams{}
		if options.EF > 0 {
			request.Params.HnswEf = proto.Uint64(options.EF)
		}
		if options.Exact {
			request.Params.Exact = proto.Bool(true)
		}
	}
	answer, err := c.Points.Query(ctx, request)
	if err != nil {
		return nil, err
	}
	if err := c.open(ctx, request, answer, options.Open); err != nil {
		return nil, err
	}
	hits := make([]Hit, len(answer.GetResult()))
	for i, point := range answer.GetResult() {
		record, err := recordOf(point.GetId(), point, point.GetVectors())
		if err != nil {
			return nil, err
		}
		hits[i] = Hit{Record: record, Score: point.GetScore(), Version: point.GetVersion()}
	}
	return hits, nil
}

// Get reads points by id.
func (c *Client) Get(ctx context.Context, collection string, ids []ID, open ...*seal.PrivateKey) ([]Record, error) {
	request := &qdrant.GetPoints{CollectionName: collection, WithPayload: withPayload(nil)}
	for _, id := range ids {
		request.Ids = append(request.Ids, id.message())
	}
	answer, err := c.Points.Get(ctx, request)
	if err != nil {
		return nil, err
	}
	if err := c.open(ctx, request, answer, open); err != nil {
		return nil, err
	}
	return recordsOf(answer.GetResult())
}

// Count counts points exactly.
func (c *Client) Count(ctx context.Context, collection string, filter *qdrant.Filter) (uint64, error) {
	answer, err := c.Points.Count(ctx, &qdrant.CountPoints{CollectionName: collection, Filter: filter, Exact: proto.Bool(true)})
	return answer.GetResult().GetCount(), err
}

func (c *Client) open(ctx context.Context, request, answer any, keys []*seal.PrivateKey) error {
	if len(keys) == 0 {
		return c.sealer.Open(ctx, request, answer, c.Pin)
	}
	opener, err := seal.NewOpener(keys...)
	if err != nil {
		return err
	}
	return c.sealer.OpenWith(ctx, opener, request, answer, c.Pin)
}

func withPayload(keys []string) *qdrant.WithPayloadSelector {
	if len(keys) == 0 {
		return &qdrant.WithPayloadSelector{SelectorOptions: &qdrant.WithPayloadSelector_Enable{Enable: true}}
	}
	include := &qdrant.PayloadIncludeSelector{Fields: keys}
	return &qdrant.WithPayloadSelector{SelectorOptions: &qdrant.WithPayloadSelector_Include{Include: include}}
}

func withVectors(on bool) *qdrant.WithVectorsSelector {
	return &qdrant.WithVectorsSelector{SelectorOptions: &qdrant.WithVectorsSelector_Enable{Enable: on}}
}

// SetPolicy sets a collection's sealing policy at the server.
func (c *Client) SetPolicy(ctx context.Context, collection string, policy *policyv1.SealingPolicy) (*policyv1.SealingState, error) {
	answer, err := c.Sealing.SetPolicy(ctx, &sealpointv1.SetPolicyRequest{CollectionName: collection, Policy: policy})
	return answer.GetState(), err
}

// GetPolicy reads it. The client does not obey it: what it pins stands in Options.
func (c *Client) GetPolicy(ctx context.Context, collection string) (*policyv1.SealingState, error) {
	answer, err := c.Sealing.GetPolicy(ctx, &sealpointv1.GetPolicyRequest{CollectionName: collection})
	return answer.GetState(), err
}

// CountPlain counts points that hold plain keys outside of the policy's clear fields, and points in all.
func (c *Client) CountPlain(ctx context.Context, collection string) (plain, total uint64, err error) {
	answer, err := c.Sealing.CountPlain(ctx, &sealpointv1.CountPlainRequest{CollectionName: collection})
	return answer.GetPlain(), answer.GetTotal(), err
}

// ID is a number or, when UUID is not empty, a UUID.
type ID struct {
	Num  uint64
	UUID string
}

func (id ID) message() *qdrant.PointId {
	if id.UUID != "" {
		return &qdrant.PointId{PointIdOptions: &qdrant.PointId_Uuid{Uuid: id.UUID}}
	}
	return &qdrant.PointId{PointIdOptions: &qdrant.PointId_Num{Num: id.Num}}
}

func idOf(m *qdrant.PointId) ID {
	return ID{Num: m.GetNum(), UUID: strings.ToLower(m.GetUuid())}
}

// Point is a point to write.
type Point struct {
	ID      ID
	Vector  []float32
	Vectors map[string][]float32
	Payload map[string]any
	// Seal names this point's own recipient.
	Seal *seal.PublicKey
}

func (p *Point) message() (*qdrant.PointStruct, error) {
	m := &qdrant.PointStruct{Id: p.ID.message()}
	if p.Vectors != nil {
		named := &qdrant.NamedVectors{Vectors: map[string]*qdrant.Vector{}}
		for name, vector := range p.Vectors {
			named.Vectors[name] = dense(vector)
		}
		m.Vectors = &qdrant.Vectors{VectorsOptions: &qdrant.Vectors_Vectors{Vectors: named}}
	} else if p.Vector != nil {
		m.Vectors = &qdrant.Vectors{VectorsOptions: &qdrant.Vectors_Vector{Vector: dense(p.Vector)}}
	}
	if p.Seal != nil {
		m.PublicKey = proto.String(p.Seal.Hex())
	}
	return m, messages.SetPayload(m, p.Payload)
}

func dense(vector []float32) *qdrant.Vector {
	return &qdrant.Vector{Vector: &qdrant.Vector_Dense{Dense: &qdrant.DenseVector{Data: vector}}}
}

// Record is a point as it was read.
type Record struct {
	ID      ID
	Payload map[string]any
	Vector  []float32
	Vectors map[string][]float32
}

// Sealed tells that the payload still holds envelopes that were not opened.
func (r *Record) Sealed() bool {
	_, sealed := r.Payload[seal.SealedKey]
	return sealed
}

// Hit is a found point.
type Hit struct {
	Record
	Score   float32
	Version uint64
}

func recordsOf(points []*qdrant.RetrievedPoint) ([]Record, error) {
	records := make([]Record, len(points))
	for i, point := range points {
		var err error
		if records[i], err = recordOf(point.GetId(), point, point.GetVectors()); err != nil {
			return nil, err
		}
	}
	return records, nil
}

func recordOf(id *qdrant.PointId, point proto.Message, vectors *qdrant.VectorsOutput) (Record, error) {
	payload, err := messages.PayloadToGo(point)
	r := Record{ID: idOf(id), Payload: payload}
	if v := vectors.GetVector(); v != nil {
		r.Vector = denseOf(v)
	}
	if named := vectors.GetVectors().GetVectors(); len(named) > 0 {
		r.Vectors = map[string][]float32{}
		for name, v := range maps.All(named) {
			r.Vectors[name] = denseOf(v)
		}
	}
	return r, err
}

func denseOf(v *qdrant.VectorOutput) []float32 {
	if d := v.GetDense(); d != nil {
		return d.GetData()
	}
	return v.GetData() //nolint:staticcheck // Older servers answer in the deprecated field.
}
