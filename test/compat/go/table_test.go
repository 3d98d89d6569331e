package compat

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The common table (../table.json): a line `row TAB name TAB answer` for each row; "-" where this client has no such call.
func TestTable(t *testing.T) {
	client := connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	text, err := os.ReadFile("../table.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct{ Name string }
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		answer, err := answerRow(ctx, client, row.Name)
		if err != nil {
			t.Fatalf("%s: %v", row.Name, err)
		}
		fmt.Printf("row\t%s\t%s\n", row.Name, answer)
	}
}

const tableName = "table-go"

func joined[P interface{ GetId() *qdrant.PointId }](points []P) string {
	return strings.ReplaceAll(idsOf(points), " ", ",")
}

func withOrder[P interface {
	GetId() *qdrant.PointId
	GetOrderValue() *qdrant.OrderValue
}](points []P) string {
	var all []string
	for _, point := range points {
		all = append(all, fmt.Sprintf("%s:%d", idOf(point.GetId()), point.GetOrderValue().GetInt()))
	}
	return strings.Join(all, ",")
}

func answerRow(ctx context.Context, client *qdrant.Client, row string) (string, error) {
	name := tableName
	wait := proto.Bool(true)
	nearest := qdrant.NewQuery(1, 0)
	odd := &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("tag", "odd")}}
	byN := &qdrant.OrderBy{Key: "n", Direction: qdrant.Direction_Desc.Enum()}
	limit := func(n uint64) *uint64 { return &n }
	query := func(request *qdrant.QueryPoints) (string, error) {
		request.CollectionName = name
		found, err := client.Query(ctx, request)
		return joined(found), err
	}
	scroll := func(request *qdrant.ScrollPoints) (*qdrant.ScrollResponse, error) {
		request.CollectionName = name
		return client.GetPointsClient().Scroll(ctx, request)
	}
	switch row {
	case "version":
		health, err := client.HealthCheck(ctx)
		return health.GetTitle(), err
	case "create a collection":
		err := client.CreateCollection(ctx, &qdrant.CreateCollection{
			CollectionName: name, VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Dot}),
		})
		return strconv.FormatBool(err == nil), err
	case "collection exists":
		exists, err := client.CollectionExists(ctx, name)
		return strconv.FormatBool(exists), err
	case "upsert":
		var points []*qdrant.PointStruct
		for n := 1; n <= 6; n++ {
			payload := qdrant.NewValueMap(map[string]any{"n": n, "tag": []string{"even", "odd"}[n%2]})
			points = append(points, &qdrant.PointStruct{Id: qdrant.NewIDNum(uint64(n)), Vectors: qdrant.NewVectors(float32(n), 1), Payload: payload})
		}
		written, err := client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: name, Wait: wait, Points: points})
		return strings.ToLower(written.GetStatus().String()), err
	case "payload indexes":
		var last *qdrant.UpdateResult
		for field, kind := range map[string]qdrant.FieldType{"n": qdrant.FieldType_FieldTypeInteger, "tag": qdrant.FieldType_FieldTypeKeyword} {
			made, err := client.CreateFieldIndex(ctx, &qdrant.CreateFieldIndexCollection{
				CollectionName: name, Wait: wait, FieldName: field, FieldType: kind.Enum(),
			})
			if err != nil {
				return "", err
			}
			last = made
		}
		return strings.ToLower(last.GetStatus().String()), nil
	case "count":
		count, err := client.Count(ctx, &qdrant.CountPoints{CollectionName: name})
		return strconv.FormatUint(count, 10), err
	case "query: nearest":
		return query(&qdrant.QueryPoints{Query: nearest, Limit: limit(3)})
	case "query: filter":
		return query(&qdrant.QueryPoints{Query: nearest, Filter: odd})
	case "query: prefetch and fusion":
		return query(&qdrant.QueryPoints{
			Prefetch: []*qdrant.PrefetchQuery{{Query: nearest, Limit: limit(3)}, {Query: nearest, Filter: odd, Limit: limit(3)}},
			Query:    qdrant.NewQueryFusion(qdrant.Fusion_RRF),
			Limit:    limit(3),
		})
	case "query: recommend":
		input := &qdrant.RecommendInput{Positive: []*qdrant.VectorInput{qdrant.NewVectorInputID(qdrant.NewIDNum(6))}}
		return query(&qdrant.QueryPoints{Query: qdrant.NewQueryRecommend(input), Limit: limit(3)})
	case "query: order_by":
		found, err := client.Query(ctx, &qdrant.QueryPoints{CollectionName: name, Query: qdrant.NewQueryOrderBy(byN), Limit: limit(2)})
		return withOrder(found), err
	case "query: groups":
		groups, err := client.QueryGroups(ctx, &qdrant.QueryPointGroups{
			CollectionName: name, Query: nearest, GroupBy: "tag", Limit: limit(2), GroupSize: limit(1),
		})
		var all []string
		for _, group := range groups {
			all = append(all, group.GetId().GetStringValue()+":"+joined(group.GetHits()))
		}
		return strings.Join(all, ","), err
	case "search":
		found, err := client.GetPointsClient().Search(ctx, &qdrant.SearchPoints{CollectionName: name, Vector: []float32{1, 0}, Limit: 2})
		return joined(found.GetResult()), err
	case "scroll":
		page, err := scroll(&qdrant.ScrollPoints{Limit: proto.Uint32(3)})
		return joined(page.GetResult()) + " then " + idOf(page.GetNextPageOffset()), err
	case "scroll: order_by":
		page, err := scroll(&qdrant.ScrollPoints{OrderBy: byN, Limit: proto.Uint32(3)})
		return withOrder(page.GetResult()), err
	case "scroll: slice":
		return "-", nil
	case "facet":
		hits, err := client.Facet(ctx, &qdrant.FacetCounts{CollectionName: name, Key: "tag"})
		var all []string
		for _, hit := range hits {
			all = append(all, fmt.Sprintf("%s=%d", hit.GetValue().GetStringValue(), hit.GetCount()))
		}
		return strings.Join(all, ","), err
	case "set payload and get":
		_, err := client.SetPayload(ctx, &qdrant.SetPayloadPoints{
			CollectionName: name, Wait: wait, Payload: qdrant.NewValueMap(map[string]any{"more": "x"}),
			PointsSelector: qdrant.NewPointsSelector(qdrant.NewIDNum(1)),
		})
		if err != nil {
			return "", err
		}
		found, err := client.Get(ctx, &qdrant.GetPoints{CollectionName: name, Ids: []*qdrant.PointId{qdrant.NewIDNum(1)}, WithPayload: qdrant.NewWithPayload(true)})
		if err != nil || len(found) != 1 {
			return fmt.Sprint(len(found), " points"), err
		}
		var keys []string
		for key := range found[0].GetPayload() {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		return strings.Join(keys, ","), nil
	case "delete by filter":
		if _, err := client.Delete(ctx, &qdrant.DeletePoints{CollectionName: name, Wait: wait, Points: qdrant.NewPointsSelectorFilter(odd)}); err != nil {
			return "", err
		}
		page, err := scroll(&qdrant.ScrollPoints{})
		return joined(page.GetResult()), err
	case "an error's text":
		_, err := client.Count(ctx, &qdrant.CountPoints{CollectionName: "nowhere"})
		for ; err != nil; err = unwrap(err) {
			if answer, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
				return answer.GRPCStatus().Message(), nil
			}
		}
		return "accepted", nil
	case "delete a collection":
		err := client.DeleteCollection(ctx, name)
		return strconv.FormatBool(err == nil), err
	}
	return "no such row", nil
}

func unwrap(err error) error {
	if wrapped, ok := err.(interface{ Unwrap() error }); ok {
		return wrapped.Unwrap()
	}
	return nil
}
