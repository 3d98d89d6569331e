// Package interceptor seals what goes out and opens what comes in, under any generated stubs: this module's or those of
// github.com/qdrant/go-client. A call whose sealing fails returns an error and is not sent.
//
//	i, err := interceptor.New(interceptor.Config{Recipient: key, PrivateKeys: []*seal.PrivateKey{own}})
//	conn, err := grpc.NewClient(target, append(i.DialOptions(), grpc.WithTransportCredentials(creds))...)
package interceptor

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"sealpoint.dev/go/messages"
)

// Config and Pin are what a client pins on its own side.
type (
	Config = messages.Config
	Pin    = messages.Pin
)

const bulkUpsertMethod = "/sealpoint.v1.Ingest/BulkUpsert"

// Interceptor holds the pins of one server.
type Interceptor struct {
	sealer *messages.Sealer
	// FetchPins asks the server once for sealing ids that are not given. On by default.
	FetchPins bool
}

// New checks a configuration.
func New(config Config) (*Interceptor, error) {
	sealer, err := messages.NewSealer(config)
	if err != nil {
		return nil, err
	}
	return &Interceptor{sealer: sealer, FetchPins: true}, nil
}

// DialOptions are both interceptors.
func (i *Interceptor) DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(i.Unary()), grpc.WithChainStreamInterceptor(i.Stream())}
}

// Forget drops the pin of a collection that the program itself deleted or replaced.
func (i *Interceptor) Forget(collection string) { i.sealer.Forget(collection) }

// pinOf fetches over the connection of the call; its options carry credentials of the call.
func (i *Interceptor) pinOf(cc *grpc.ClientConn, opts []grpc.CallOption) messages.PinOf {
	return func(ctx context.Context, collection string) (*messages.Pin, error) {
		var fetch messages.Fetch
		if i.FetchPins {
			fetch = func(ctx context.Context, request []byte) ([]byte, error) {
				return FetchPolicy(ctx, cc, request, opts...)
			}
		}
		return i.sealer.Pin(ctx, collection, fetch)
	}
}

// FetchPolicy calls sealpoint.v1.Sealing/GetPolicy without generated code: fields that Empty does not know are kept.
func FetchPolicy(ctx context.Context, cc grpc.ClientConnInterface, request []byte, opts ...grpc.CallOption) ([]byte, error) {
	in, out := &emptypb.Empty{}, &emptypb.Empty{}
	in.ProtoReflect().SetUnknown(request)
	var kept []grpc.CallOption
	for _, option := range opts {
		// Only credentials belong to this call too; trailers and peers are the caller's own.
		if _, ok := option.(grpc.PerRPCCredsCallOption); ok {
			kept = append(kept, option)
		}
	}
	if err := cc.Invoke(ctx, messages.GetPolicyMethod, in, out, kept...); err != nil {
		return nil, fmt.Errorf("the collection's sealing id cannot be fetched: %w", err)
	}
	return out.ProtoReflect().GetUnknown(), nil
}

// Unary seals and opens unary calls.
func (i *Interceptor) Unary() grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, request, answer any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if method == messages.GetPolicyMethod {
			return invoke(ctx, method, request, answer, cc, opts...)
		}
		pinOf := i.pinOf(cc, opts)
		collection, err := i.sealer.CollectionToPin(request, false)
		if err != nil {
			return fmt.Errorf("seal: %w", err)
		}
		sealed := &messages.Sealed{}
		if collection == "" {
			if err := invoke(ctx, method, request, answer, cc, opts...); err != nil {
				return err
			}
		} else {
			pin, err := pinOf(ctx, collection)
			if err != nil {
				return fmt.Errorf("seal: %w", err)
			}
			if sealed, err = i.sealer.Seal(method, request.(proto.Message), collection, pin, nil); err != nil {
				return fmt.Errorf("seal: %w", err)
			}
			// All messages are sealed before the first one is sent.
			for _, message := range sealed.Messages {
				if out, ok := answer.(proto.Message); ok {
					proto.Reset(out)
				}
				if err := invoke(ctx, method, message, answer, cc, opts...); err != nil {
					return err
				}
			}
			sealed.MendAnswer(answer)
		}
		return i.sealer.Open(ctx, request, answer, pinOf)
	}
}

// Stream seals BulkUpsert and opens the answers of every stream.
func (i *Interceptor) Stream() grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		inner, err := stream(ctx, desc, cc, method, opts...)
		if err != nil {
			return nil, err
		}
		s := &sealedStream{ClientStream: inner, ctx: ctx, owner: i, pinOf: i.pinOf(cc, opts)}
		if i.sealer.Seals() && method == bulkUpsertMethod {
			s.sealer = i.sealer.NewStreamSealer(nil)
		}
		return s, nil
	}
}

type sealedStream struct {
	grpc.ClientStream
	ctx     context.Context
	owner   *Interceptor
	pinOf   messages.PinOf
	sealer  *messages.StreamSealer
	mu      sync.Mutex
	request any
}

func (s *sealedStream) SendMsg(m any) error {
	s.mu.Lock()
	if s.request == nil {
		s.request = m
	}
	s.mu.Unlock()
	if s.sealer == nil {
		collection, err := s.owner.sealer.CollectionToPin(m, false)
		if err == nil && collection != "" {
			err = fmt.Errorf("messages of type %T cannot be sealed in this stream", m)
		}
		if err != nil {
			return fmt.Errorf("seal: %w", err)
		}
		return s.ClientStream.SendMsg(m)
	}
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("seal: a message of type %T is no protobuf message", m)
	}
	collection, isStart, err := messages.StartOf(message)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	var pin *messages.Pin
	if isStart {
		if pin, err = s.pinOf(s.ctx, collection); err != nil {
			return fmt.Errorf("seal: %w", err)
		}
	}
	sealed, err := s.sealer.Seal(message, pin)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return s.ClientStream.SendMsg(sealed)
}

func (s *sealedStream) RecvMsg(m any) error {
	if err := s.ClientStream.RecvMsg(m); err != nil {
		return err
	}
	s.mu.Lock()
	request := s.request
	s.mu.Unlock()
	return s.owner.sealer.Open(s.ctx, request, m, s.pinOf)
}
