package main

import (
	"context"
	"fmt"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

// runMany makes --collections collections and fills each with the same --documents points, or with --drop deletes them.
func runMany(ctx context.Context, o options) (any, error) {
	points, err := readPoints(o)
	if err != nil {
		return nil, err
	}
	client, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return timed(o.pid, o.collections, func() error {
		return forEach(ctx, o.collections, orDefault(o.inFlight, 16), func(ctx context.Context, i int) error {
			name := fmt.Sprintf("%s-%d", o.collection, i)
			if o.drop {
				return client.DeleteCollection(ctx, name)
			}
			err := client.CreateCollection(ctx, &qdrant.CreateCollection{
				CollectionName: name,
				VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: dimensions, Distance: qdrant.Distance_Cosine}),
			})
			if err != nil {
				return err
			}
			_, err = client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: name, Wait: qdrant.PtrOf(true), Points: points})
			return err
		})
	})
}

const overwriteBatch = 100

// runOverwrite writes the data set's points over themselves, --rate of them a second for --seconds.
func runOverwrite(ctx context.Context, o options) (any, error) {
	points, err := readPoints(o)
	if err != nil {
		return nil, err
	}
	if o.words {
		addWords(points)
	}
	client, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	tick := time.NewTicker(time.Duration(float64(time.Second) * overwriteBatch / float64(o.rate)))
	defer tick.Stop()
	batches := o.rate * o.seconds / overwriteBatch
	return timed(o.pid, batches*overwriteBatch, func() error {
		for i := range batches {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
			first := i * overwriteBatch % (len(points) - overwriteBatch + 1)
			_, err := client.Upsert(ctx, &qdrant.UpsertPoints{
				CollectionName: o.collection, Wait: qdrant.PtrOf(true), Points: points[first : first+overwriteBatch],
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
