package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// rawCodec passes messages as bytes. Two packages that both register Qdrant's messages cannot be linked into one program, so the
// stream's own messages (proto/sealpoint/v1/ingest.proto) are written field by field, and only go-client's are linked.
type rawCodec struct{}

func (rawCodec) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }
func (rawCodec) Unmarshal(raw []byte, message any) error {
	// grpc-go may use the buffer again.
	*message.(*[]byte) = append([]byte(nil), raw...)
	return nil
}
func (rawCodec) Name() string { return "proto" }

func appendMessage(target []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(target, field, protowire.BytesType), message)
}

func encodeStart(collection, streamID, publicKey string, fresh bool) []byte {
	var start []byte
	start = appendMessage(start, 1, []byte(collection))
	start = appendMessage(start, 2, []byte(streamID))
	if publicKey != "" {
		start = appendMessage(start, 3, []byte(publicKey))
	}
	if fresh {
		start = protowire.AppendVarint(protowire.AppendTag(start, 4, protowire.VarintType), 1)
	}
	return appendMessage(nil, 1, start)
}

func encodeChunk(sequence uint64, points []*qdrant.PointStruct) ([]byte, error) {
	chunk := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), sequence)
	options := proto.MarshalOptions{}
	for _, point := range points {
		chunk = protowire.AppendTag(chunk, 2, protowire.BytesType)
		chunk = protowire.AppendVarint(chunk, uint64(options.Size(point)))
		var err error
		if chunk, err = options.MarshalAppend(chunk, point); err != nil {
			return nil, err
		}
	}
	request := protowire.AppendTag(make([]byte, 0, len(chunk)+16), 2, protowire.BytesType)
	return protowire.AppendBytes(request, chunk), nil
}

// fields is a flat view of a small message: the last varint of each field, and its byte strings.
type fields struct {
	numbers map[protowire.Number]uint64
	bytes   map[protowire.Number][][]byte
}

func decodeFields(raw []byte) (fields, error) {
	result := fields{map[protowire.Number]uint64{}, map[protowire.Number][][]byte{}}
	for len(raw) > 0 {
		number, kind, length := protowire.ConsumeTag(raw)
		if length < 0 {
			return result, protowire.ParseError(length)
		}
		raw = raw[length:]
		switch kind {
		case protowire.VarintType:
			value, length := protowire.ConsumeVarint(raw)
			if length < 0 {
				return result, protowire.ParseError(length)
			}
			result.numbers[number] = value
			raw = raw[length:]
		case protowire.BytesType:
			value, length := protowire.ConsumeBytes(raw)
			if length < 0 {
				return result, protowire.ParseError(length)
			}
			result.bytes[number] = append(result.bytes[number], value)
			raw = raw[length:]
		default:
			length := protowire.ConsumeFieldValue(number, kind, raw)
			if length < 0 {
				return result, protowire.ParseError(length)
			}
			raw = raw[length:]
		}
	}
	return result, nil
}

func decodeOneof(raw []byte) (protowire.Number, fields, error) {
	outer, err := decodeFields(raw)
	if err != nil {
		return 0, fields{}, err
	}
	for number, values := range outer.bytes {
		inner, err := decodeFields(values[len(values)-1])
		return number, inner, err
	}
	return 0, fields{}, errors.New("an answer without content")
}

// window counts the bytes and chunks that the server has not acknowledged.
type window struct {
	mutex    sync.Mutex
	changed  *sync.Cond
	bytesMax uint64
	bytes    uint64
	sizes    map[uint64]uint64
	ended    error
}

const chunksMax = 64

func newWindow(bytesMax uint64) *window {
	w := &window{bytesMax: bytesMax, sizes: map[uint64]uint64{}}
	w.changed = sync.NewCond(&w.mutex)
	return w
}

func (w *window) acquire(sequence, size uint64) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for w.ended == nil && len(w.sizes) > 0 && (w.bytes+size > w.bytesMax || len(w.sizes) >= chunksMax) {
		w.changed.Wait()
	}
	w.bytes += size
	w.sizes[sequence] = size
	return w.ended
}

func (w *window) release(sequence uint64) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.bytes -= w.sizes[sequence]
	delete(w.sizes, sequence)
	w.changed.Signal()
}

func (w *window) end(err error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.ended = err
	w.changed.Broadcast()
}

// makePublicKey makes a P-256 key pair and keeps the public half: nothing of the benchmark is opened again.
func makePublicKey() (string, error) {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(private.PublicKey())
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

type streamResult struct {
	timing
	Chunks   int    `json:"chunks"`
	Durable  uint64 `json:"durable"`
	Sealed   bool   `json:"sealed"`
	BytesMax uint64 `json:"bytes_in_flight_max"`
}

func runStream(ctx context.Context, o options) (any, error) {
	points, err := readPoints(o)
	if err != nil {
		return nil, err
	}
	client, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	publicKey := ""
	if o.sealed {
		if publicKey, err = makePublicKey(); err != nil {
			return nil, err
		}
	}
	if err := prepare(ctx, client, o, publicKey); err != nil {
		return nil, err
	}
	result := streamResult{Sealed: o.sealed}
	result.timing, err = timed(o.pid, len(points), func() error {
		return sendStream(ctx, o, points, publicKey, &result)
	})
	return result, err
}

func sendStream(ctx context.Context, o options, points []*qdrant.PointStruct, publicKey string, result *streamResult) error {
	connection, err := grpc.NewClient(
		fmt.Sprintf("%s:%d", o.host, o.port),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})),
	)
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	description := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := connection.NewStream(ctx, description, "/sealpoint.v1.Ingest/BulkUpsert")
	if err != nil {
		return err
	}
	id := make([]byte, 16)
	rand.Read(id)
	start := encodeStart(o.collection, hex.EncodeToString(id), publicKey, o.fresh)
	if err := stream.SendMsg(&start); err != nil {
		return receiveError(stream, err)
	}
	var raw []byte
	if err := stream.RecvMsg(&raw); err != nil {
		return err
	}
	kind, started, err := decodeOneof(raw)
	if err != nil || kind != 1 {
		return fmt.Errorf("expected the stream's start: %w", err)
	}
	result.BytesMax = started.numbers[3]
	result.Chunks = (len(points) + o.batch - 1) / o.batch
	inFlight := newWindow(result.BytesMax)
	received := make(chan error, 1)
	go func() {
		err := receiveAcks(stream, o, len(points), inFlight, result)
		inFlight.end(errors.Join(err, errors.New("the stream ended early")))
		received <- err
	}()
	for i := range result.Chunks {
		sequence := uint64(i + 1)
		message, err := encodeChunk(sequence, points[i*o.batch:min(len(points), (i+1)*o.batch)])
		if err != nil {
			return err
		}
		if inFlight.acquire(sequence, uint64(len(message))) != nil || stream.SendMsg(&message) != nil {
			// The receiver knows why.
			return <-received
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return <-received
}

// receiveError is the status behind a failed send.
func receiveError(stream grpc.ClientStream, sendErr error) error {
	var raw []byte
	if err := stream.RecvMsg(&raw); err != nil {
		return err
	}
	return sendErr
}

func receiveAcks(stream grpc.ClientStream, o options, points int, inFlight *window, result *streamResult) error {
	applied := uint64(0)
	for {
		var raw []byte
		if err := stream.RecvMsg(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		kind, ack, err := decodeOneof(raw)
		if err != nil || kind != 2 {
			return fmt.Errorf("expected an acknowledgement: %w", err)
		}
		if refused := ack.bytes[5]; len(refused) > 0 {
			status, _ := decodeFields(refused[0])
			return fmt.Errorf("chunk %d: %d points refused, the first: %s", ack.numbers[1], len(refused), status.bytes[4])
		}
		applied += ack.numbers[4]
		result.Durable = max(result.Durable, ack.numbers[2])
		inFlight.release(ack.numbers[1])
	}
	if applied != uint64(points) || result.Durable != uint64(result.Chunks) {
		return fmt.Errorf("%d of %d points applied, %d of %d chunks durable", applied, points, result.Durable, result.Chunks)
	}
	return nil
}
