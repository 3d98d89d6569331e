package sealpoint

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"sealpoint.dev/go/gen/qdrant"
	sealpointv1 "sealpoint.dev/go/gen/sealpoint/v1"
	"sealpoint.dev/go/messages"
	"sealpoint.dev/go/seal"
)

const (
	chunkPoints       = 256
	chunkPointsMax    = 10_000
	chunksInFlight    = 32
	bytesInFlight     = 16 << 20
	connectionsMax    = 8
	backoffMax        = 5 * time.Second
	backoffFirst      = 100 * time.Millisecond
	streamIDHexLength = 16
)

// ScrollOptions of a stream of points.
type ScrollOptions struct {
	Filter      *qdrant.Filter
	After       *ID
	WithVectors bool
	PageSize    uint32
	Limit       uint64
	// Open gives private keys for this call; otherwise the client's own open what is sealed to them.
	Open []*seal.PrivateKey
}

// Scroll yields all points of a consistent view, in id order. Breaking out of the loop ends the stream.
func (c *Client) Scroll(ctx context.Context, collection string, options ScrollOptions) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		request := &sealpointv1.ScrollRequest{
			CollectionName: collection, Filter: options.Filter, PageSize: options.PageSize,
			WithPayload: withPayload(nil), WithVectors: withVectors(options.WithVectors),
		}
		if options.After != nil {
			request.After = options.After.message()
		}
		if options.Limit > 0 {
			request.Limit = proto.Uint64(options.Limit)
		}
		stream, err := c.Ingest.Scroll(ctx, request)
		if err != nil {
			yield(Record{}, err)
			return
		}
		for {
			page, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil {
				err = c.open(ctx, request, page, options.Open)
			}
			var records []Record
			if err == nil {
				records, err = recordsOf(page.GetPoints())
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, record := range records {
				if !yield(record, nil) {
					return
				}
			}
		}
	}
}

// LoadS5 loads a database and yields its progress. Breaking out of the loop cancels the load.
func (c *Client) LoadS5(ctx context.Context, request *sealpointv1.LoadRequest) iter.Seq2[*sealpointv1.LoadResponse, error] {
	return func(yield func(*sealpointv1.LoadResponse, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.S5.Load(ctx, request)
		if err != nil {
			yield(nil, err)
			return
		}
		for {
			event, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// WatchS5 yields the progress of a load that was begun before: what there was, and what comes. Breaking out of the loop changes nothing.
func (c *Client) WatchS5(ctx context.Context, sessionID string) iter.Seq2[*sealpointv1.WatchResponse, error] {
	return func(yield func(*sealpointv1.WatchResponse, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		target := &sealpointv1.WatchRequest_SessionId{SessionId: sessionID}
		stream, err := c.S5.Watch(ctx, &sealpointv1.WatchRequest{Target: target})
		if err != nil {
			yield(nil, err)
			return
		}
		for {
			event, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// BulkOptions of a bulk stream.
type BulkOptions struct {
	WriteOptions
	// StreamID lets a program go on after its own crash: it feeds the same points in the same order with the same
	// ChunkPoints, and what the server holds already is passed over. Random by default.
	StreamID string
	// ChunkPoints is 256 by default, 10,000 at most.
	ChunkPoints int
	// ChunksInFlight is 32 by default.
	ChunksInFlight int
}

// Ack acknowledges one chunk. Applied is false when the server already had it from before a cut.
type Ack struct {
	Sequence        uint64
	DurableSequence uint64
	Applied         bool
	PointsApplied   uint32
	Refused         []RefusedPoint
}

// RefusedPoint is a point of a chunk that was not stored.
type RefusedPoint struct {
	Index   int
	ID      ID
	Code    codes.Code
	Message string
}

// BulkUpsert streams points in and yields one acknowledgement for each chunk. A cut connection is taken up again without
// loss, duplicate or undone overwrite: a chunk is kept, as it was sealed, until the server calls it durable. Breaking out of
// the loop cancels the stream. An error of the input ends it and is yielded.
func (c *Client) BulkUpsert(ctx context.Context, collection string, points iter.Seq2[Point, error], options BulkOptions) iter.Seq2[Ack, error] {
	return func(yield func(Ack, error) bool) {
		b, err := c.newBulk(ctx, collection, points, options)
		if err != nil {
			yield(Ack{}, err)
			return
		}
		defer b.stop()
		if err := b.run(ctx, yield); err != nil {
			yield(Ack{}, err)
		}
	}
}

// errStopped tells that the caller left the loop.
var errStopped = errors.New("stopped")

// bulk is one bulk upsert over as many connections as it needs. mu guards what reader and writer share.
type bulk struct {
	client     *Client
	collection string
	next       func() (Point, error, bool)
	stop       func()
	sealer     *messages.StreamSealer
	start      *sealpointv1.BulkUpsertRequest
	size       int

	mu           sync.Mutex
	changed      *sync.Cond
	pending      []pendingChunk
	bytes        int
	bytesMax     int
	chunksMax    int
	sequence     uint64
	acknowledged uint64
	startedOnce  bool
	inputDone    bool
	failure      error
}

func (c *Client) newBulk(ctx context.Context, collection string, points iter.Seq2[Point, error], options BulkOptions) (*bulk, error) {
	here, err := c.sealsHere(options.WriteOptions, false)
	if err != nil {
		return nil, err
	}
	b := &bulk{client: c, collection: collection, size: options.ChunkPoints, chunksMax: options.ChunksInFlight, bytesMax: bytesInFlight}
	b.changed = sync.NewCond(&b.mu)
	if b.size == 0 {
		b.size = chunkPoints
	}
	if b.chunksMax == 0 {
		b.chunksMax = chunksInFlight
	}
	if b.size < 1 || b.size > chunkPointsMax || b.chunksMax < 1 {
		return nil, fmt.Errorf("ChunkPoints is between 1 and %d, ChunksInFlight at least 1", chunkPointsMax)
	}
	id := options.StreamID
	if id == "" {
		raw := make([]byte, streamIDHexLength)
		if _, err := rand.Read(raw); err != nil {
			return nil, err
		}
		id = hex.EncodeToString(raw)
	}
	start := &sealpointv1.BulkUpsertStart{CollectionName: collection, StreamId: id, FreshEphemeral: options.FreshEphemeral}
	if options.PublicKey != nil {
		start.PublicKey = proto.String(options.PublicKey.Hex())
	}
	b.start = &sealpointv1.BulkUpsertRequest{Message: &sealpointv1.BulkUpsertRequest_Start{Start: start}}
	if here {
		pin, err := c.Pin(ctx, collection)
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		b.sealer = c.sealer.NewStreamSealer(options.Seal)
		if _, err := b.sealer.Seal(b.start, pin); err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
	}
	b.next, b.stop = iter.Pull2(points)
	return b, nil
}

func (b *bulk) run(ctx context.Context, yield func(Ack, error) bool) error {
	attempt := 0
	for {
		before := b.acknowledged
		err := b.connection(ctx, yield)
		if err == nil || errors.Is(err, errStopped) {
			return nil
		}
		var cut *cutError
		if !errors.As(err, &cut) {
			return err
		}
		if b.acknowledged > before {
			attempt = 0
		}
		attempt++
		if attempt >= connectionsMax || !resumable(cut.cause) {
			return fmt.Errorf("bulk upsert ended after chunk %d: %w", b.acknowledged, cut.cause)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(backoffFirst<<attempt, backoffMax)):
		}
	}
}

// pendingChunk is a chunk that is not durable yet, as it was sealed.
type pendingChunk struct {
	message *sealpointv1.BulkUpsertRequest
	size    int
}

func (p pendingChunk) sequence() uint64 { return p.message.GetChunk().GetSequence() }

// cutError tells that a connection ended before the work did.
type cutError struct{ cause error }

func (e *cutError) Error() string { return "cut: " + e.cause.Error() }

var errEndedEarly = errors.New("the stream ended before everything was durable")

func resumable(err error) bool {
	if errors.Is(err, errEndedEarly) {
		return true
	}
	switch status.Code(err) {
	// Internal and Unknown are how broken HTTP/2 streams read.
	case codes.Unavailable, codes.Internal, codes.Unknown:
		return true
	}
	return false
}

func (b *bulk) connection(ctx context.Context, yield func(Ack, error) bool) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	var writer sync.WaitGroup
	ended := false
	// The writer is waited for, so that the caller's iterator is never advanced from two places.
	defer func() {
		b.mu.Lock()
		ended = true
		b.changed.Broadcast()
		b.mu.Unlock()
		cancel()
		writer.Wait()
		if b.failure != nil {
			err = b.failure
		}
	}()
	stream, err := b.client.Ingest.BulkUpsert(ctx)
	if err != nil {
		return &cutError{err}
	}
	if err := stream.Send(b.start); err != nil && !errors.Is(err, io.EOF) {
		return &cutError{err}
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			b.mu.Lock()
			complete := b.inputDone && len(b.pending) == 0
			b.mu.Unlock()
			if !complete {
				return &cutError{errEndedEarly}
			}
			return nil
		}
		if err != nil {
			return &cutError{err}
		}
		if started := answer.GetStarted(); started != nil {
			if err := b.started(started, yield); err != nil {
				return err
			}
			writer.Go(func() { b.write(stream, &ended, cancel) })
			continue
		}
		if ack, news := b.acknowledge(answer.GetAck()); news && !yield(ack, nil) {
			return errStopped
		}
	}
}

// started takes the server's first answer: what it holds from before a cut or from an earlier run is acknowledged.
func (b *bulk) started(m *sealpointv1.BulkUpsertStarted, yield func(Ack, error) bool) error {
	last := m.GetLastAppliedSequence()
	b.mu.Lock()
	first := !b.startedOnce
	b.startedOnce = true
	if limit := m.GetChunkPointsMax(); limit > 0 && b.size > int(limit) {
		b.mu.Unlock()
		return fmt.Errorf("ChunkPoints: the server takes %d at most", limit)
	}
	if m.GetBytesInFlightMax() > 0 {
		b.bytesMax = int(m.GetBytesInFlightMax())
	}
	if !first && last > b.sequence {
		b.mu.Unlock()
		return errors.New("the server holds chunks that this client never sent: the stream id is shared")
	}
	if !first && len(b.pending) > 0 && last+1 < b.pending[0].sequence() {
		b.mu.Unlock()
		return errors.New("the server lost chunks that it had called durable")
	}
	b.drop(last)
	from := b.acknowledged + 1
	until := last
	if !first {
		until = min(last, b.sequence)
	}
	b.acknowledged = max(b.acknowledged, until)
	b.mu.Unlock()
	for sequence := from; sequence <= until; sequence++ {
		if first {
			points, err := b.pull()
			if err != nil {
				return err
			}
			if len(points) == 0 {
				b.inputDone = true
				return nil
			}
			b.sequence = sequence
		}
		if !yield(Ack{Sequence: sequence, DurableSequence: last}, nil) {
			return errStopped
		}
	}
	return nil
}

func (b *bulk) acknowledge(m *sealpointv1.BulkUpsertAck) (Ack, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(m.GetDurableSequence())
	b.changed.Broadcast()
	if m.GetSequence() <= b.acknowledged {
		return Ack{}, false
	}
	b.acknowledged = m.GetSequence()
	ack := Ack{
		Sequence: m.GetSequence(), DurableSequence: m.GetDurableSequence(), Applied: m.GetApplied(), PointsApplied: m.GetPointsApplied(),
	}
	for _, refused := range m.GetRefused() {
		ack.Refused = append(ack.Refused, RefusedPoint{
			Index: int(refused.GetIndex()), ID: idOf(refused.GetId()), Code: codes.Code(refused.GetCode()), Message: refused.GetMessage(),
		})
	}
	return ack, true
}

func (b *bulk) drop(durable uint64) {
	for len(b.pending) > 0 && b.pending[0].sequence() <= durable {
		b.bytes -= b.pending[0].size
		b.pending[0] = pendingChunk{}
		b.pending = b.pending[1:]
	}
}

func (b *bulk) pull() ([]Point, error) {
	var points []Point
	for len(points) < b.size {
		point, err, ok := b.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		points = append(points, point)
	}
	return points, nil
}

type sendStream interface {
	Send(*sealpointv1.BulkUpsertRequest) error
	CloseSend() error
}

// write sends what is unsettled, then new chunks as the window allows. Send errors are left to the reader, which sees why.
func (b *bulk) write(stream sendStream, ended *bool, cancel func()) {
	b.mu.Lock()
	again := slices.Clone(b.pending)
	b.mu.Unlock()
	for _, chunk := range again {
		if stream.Send(chunk.message) != nil {
			return
		}
	}
	for !b.inputDone {
		b.mu.Lock()
		for !*ended && len(b.pending) > 0 && (len(b.pending) >= b.chunksMax || b.bytes >= b.bytesMax) {
			b.changed.Wait()
		}
		stop := *ended
		b.mu.Unlock()
		if stop {
			return
		}
		message, err := b.chunk()
		if err != nil {
			// The connection's end waits for this goroutine and then reads the failure.
			b.failure = err
			cancel()
			return
		}
		if message == nil {
			break
		}
		if stream.Send(message) != nil {
			return
		}
	}
	_ = stream.CloseSend()
}

// chunk seals the next points and keeps them; nil at the end of the input.
func (b *bulk) chunk() (*sealpointv1.BulkUpsertRequest, error) {
	points, err := b.pull()
	if err != nil {
		return nil, err
	}
	if len(points) == 0 {
		b.mu.Lock()
		b.inputDone = true
		b.mu.Unlock()
		return nil, nil
	}
	chunk := &sealpointv1.BulkUpsertChunk{Sequence: b.sequence + 1}
	for i := range points {
		message, err := points[i].message()
		if err != nil {
			return nil, fmt.Errorf("points[%d] of chunk %d: %w", i, chunk.Sequence, err)
		}
		if b.sealer == nil && message.PublicKey != nil {
			return nil, errors.New("a point names a recipient but nothing seals on this side")
		}
		chunk.Points = append(chunk.Points, message)
	}
	request := &sealpointv1.BulkUpsertRequest{Message: &sealpointv1.BulkUpsertRequest_Chunk{Chunk: chunk}}
	if b.sealer != nil {
		sealed, err := b.sealer.Seal(request, nil)
		if err != nil {
			return nil, fmt.Errorf("seal: chunk %d: %w", chunk.Sequence, err)
		}
		request = sealed.(*sealpointv1.BulkUpsertRequest)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sequence++
	size := proto.Size(request)
	b.pending = append(b.pending, pendingChunk{request, size})
	b.bytes += size
	return request, nil
}
