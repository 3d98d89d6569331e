package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

const pagePoints = 1000

// runScroll reads every point with its payload, in pages of 1,000, one after the other.
func runScroll(ctx context.Context, o options) (any, error) {
	client, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	expected, err := client.Count(ctx, &qdrant.CountPoints{CollectionName: o.collection, Exact: qdrant.PtrOf(true)})
	if err != nil {
		return nil, err
	}
	return timed(o.pid, int(expected), func() error {
		seen := uint64(0)
		var offset *qdrant.PointId
		for {
			page, err := client.GetPointsClient().Scroll(ctx, &qdrant.ScrollPoints{
				CollectionName: o.collection, Limit: qdrant.PtrOf(uint32(pagePoints)), Offset: offset, WithPayload: qdrant.NewWithPayload(true),
			})
			if err != nil {
				return err
			}
			for _, point := range page.GetResult() {
				if len(point.GetPayload()) == 0 {
					return fmt.Errorf("point %v has no payload", point.GetId())
				}
			}
			seen += uint64(len(page.GetResult()))
			if offset = page.GetNextPageOffset(); offset == nil {
				break
			}
		}
		return whole(seen, expected)
	})
}

// runScrollStream reads the same by sealpoint.v1.Ingest/Scroll.
func runScrollStream(ctx context.Context, o options) (any, error) {
	client, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	expected, err := client.Count(ctx, &qdrant.CountPoints{CollectionName: o.collection, Exact: qdrant.PtrOf(true)})
	if err != nil {
		return nil, err
	}
	connection, err := grpc.NewClient(
		fmt.Sprintf("%s:%d", o.host, o.port),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(64<<20)),
	)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	return timed(o.pid, int(expected), func() error {
		stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/sealpoint.v1.Ingest/Scroll")
		if err != nil {
			return err
		}
		request := appendMessage(nil, 1, []byte(o.collection))
		// with_payload { enable: true }
		request = appendMessage(request, 4, protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1))
		request = protowire.AppendVarint(protowire.AppendTag(request, 6, protowire.VarintType), pagePoints)
		if err := stream.SendMsg(&request); err != nil {
			return err
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		seen := uint64(0)
		for {
			var raw []byte
			if err := stream.RecvMsg(&raw); errors.Is(err, io.EOF) {
				return whole(seen, expected)
			} else if err != nil {
				return err
			}
			page, err := decodeFields(raw)
			if err != nil {
				return err
			}
			seen += uint64(len(page.bytes[1]))
		}
	})
}

func whole(seen, expected uint64) error {
	if seen != expected {
		return fmt.Errorf("%d of %d points", seen, expected)
	}
	return nil
}
