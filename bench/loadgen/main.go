// Command loadgen drives a server that speaks Qdrant's gRPC API with the official Go client, and prints one JSON object with
// what it measured. bench/run.ts starts the server and calls it once per step.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

type options struct {
	host        string
	port        int
	pid         int
	collection  string
	data        string
	documents   int
	batch       int
	inFlight    int
	indexes     bool
	create      bool
	ef          uint64
	queries     int
	filter      string
	sealed      bool
	fresh       bool
	payload     bool
	calls       int
	connections uint
	collections int
	drop        bool
	rate        int
	seconds     int
	timeout     time.Duration
	words       bool
	httpPort    int
}

type command struct {
	name string
	help string
	run  func(context.Context, options) (any, error)
}

var commands = []command{
	{"ingest", "unary upserts with wait", runIngest},
	{"stream", "sealpoint.v1.Ingest/BulkUpsert, plain or sealed by the server", runStream},
	{"wait-green", "wait until the collection is indexed", runWaitGreen},
	{"search", "nearest queries, recall against the exact answers", runSearch},
	{"filtered", "the same under each filter of the data set, or --filter", runFiltered},
	{"hybrid", "nearest by vector and by words (BM25), fused, under each filter or --filter", runHybrid},
	{"scroll", "every point with its payload, in pages", runScroll},
	{"scroll-stream", "every point with its payload, by sealpoint.v1.Ingest/Scroll", runScrollStream},
	{"rest", "the nearest queries of search over REST", runRest},
	{"baseline", "empty calls (HealthCheck)", runBaseline},
	{"many", "make and fill many collections, or delete them", runMany},
	{"overwrite", "write points over themselves at a steady rate", runOverwrite},
	{"count", "exact number of points", runCount},
	{"delete", "delete the collection", runDelete},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) < 2 {
		return usage()
	}
	var chosen *command
	for i := range commands {
		if commands[i].name == os.Args[1] {
			chosen = &commands[i]
		}
	}
	if chosen == nil {
		return usage()
	}
	var o options
	flags := flag.NewFlagSet(chosen.name, flag.ExitOnError)
	flags.StringVar(&o.host, "host", "127.0.0.1", "server")
	flags.IntVar(&o.port, "port", 6334, "gRPC port")
	flags.IntVar(&o.pid, "pid", 0, "process of the server, whose CPU time is measured; 0: none")
	flags.StringVar(&o.collection, "collection", "wordnet", "collection")
	flags.StringVar(&o.data, "data", "../../../shared/data/wordnet", "data set")
	flags.IntVar(&o.documents, "documents", 0, "documents to ingest; 0: all")
	flags.IntVar(&o.batch, "batch", 256, "points of one request or chunk")
	flags.IntVar(&o.inFlight, "in-flight", 0, "calls in flight; 0: 4 for ingest, 8 for searches")
	flags.BoolVar(&o.indexes, "indexes", true, "make payload indexes before ingest")
	flags.BoolVar(&o.create, "create", true, "create the collection before ingest")
	flags.Uint64Var(&o.ef, "ef", 0, "hnsw_ef; 0: the server's default")
	flags.IntVar(&o.queries, "queries", 5000, "queries to send, going round the data set's")
	flags.StringVar(&o.filter, "filter", "", "only the filter of this name")
	flags.BoolVar(&o.sealed, "sealed", false, "send a public key: the server seals each chunk")
	flags.BoolVar(&o.fresh, "fresh", false, "with --sealed: a fresh ephemeral key per point")
	flags.BoolVar(&o.payload, "payload", true, "searches return payloads")
	flags.IntVar(&o.calls, "calls", 20000, "empty calls of the baseline")
	flags.UintVar(&o.connections, "connections", 0, "connections that calls go round; 0: the client's default of 3")
	flags.IntVar(&o.collections, "collections", 1000, "of many")
	flags.BoolVar(&o.drop, "drop", false, "many: delete them")
	flags.IntVar(&o.rate, "rate", 2000, "points a second of overwrite")
	flags.IntVar(&o.seconds, "seconds", 10, "of overwrite")
	flags.BoolVar(&o.words, "words", false, "ingest: the server makes a sparse vector of each gloss too")
	flags.IntVar(&o.httpPort, "http-port", 6333, "HTTP port")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Minute, "of the whole command")
	if err := flags.Parse(os.Args[2:]); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	result, err := chosen.run(ctx, o)
	if err != nil {
		return fmt.Errorf("%s: %w", chosen.name, err)
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func usage() error {
	text := "usage: loadgen COMMAND [flags]; loadgen COMMAND -h lists them\n"
	for _, c := range commands {
		text += fmt.Sprintf("  %-11s %s\n", c.name, c.help)
	}
	return fmt.Errorf("%s", text)
}

func connect(o options) (*qdrant.Client, error) {
	return qdrant.NewClient(&qdrant.Config{Host: o.host, Port: o.port, PoolSize: o.connections, SkipCompatibilityCheck: true})
}

func orDefault(value, fallback int) int {
	if value == 0 {
		return fallback
	}
	return value
}
