// Kills all invocations of one service and follows the batch to its end.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"
)

// progress is what this program needs of a BatchProgress; the other fields are passed over.
type progress struct {
	State    string  `avro:"state"`
	Error    *string `avro:"error"`
	Matched  int64   `avro:"matched"`
	Done     int64   `avro:"done"`
	Pending  int64   `avro:"pending"`
	Skipped  int64   `avro:"skipped"`
	Failed   int64   `avro:"failed"`
	Revision int64   `avro:"revision"`
}

func main() {
	log.SetFlags(0)
	service := os.Getenv("SERVICE")
	if service == "" {
		log.Fatal("SERVICE is not set: say whose invocations are to be killed")
	}
	batch := env("BATCH", "b-"+rand.Text())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	end, err := run(ctx, batch, service)
	if err != nil {
		log.Fatal(err)
	}
	if end.State != "COMPLETED" {
		if end.Error != nil {
			log.Print(*end.Error)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, batch, service string) (progress, error) {
	prefix := env("PREFIX", "invocations.")
	client, err := kgo.NewClient(
		kgo.SeedBrokers(env("BOOTSTRAP", "localhost:9092")),
		// Keyed records go where Kafka's own murmur2 puts them: that is this client's default partitioner.
		kgo.ConsumeTopics(prefix+"batches"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return progress{}, err
	}
	defer client.Close()
	if err := start(ctx, client, prefix+"commands", batch, service); err != nil {
		return progress{}, err
	}
	return follow(ctx, client, batch)
}

// start returns once the command stands in the log. Sent again with the same id and content, it still runs once.
func start(ctx context.Context, client *kgo.Client, topic, batch, service string) error {
	schema, err := schema("StartBatch")
	if err != nil {
		return err
	}
	value, err := schema.AppendSingleObject(nil, map[string]any{
		"batch_id": batch,
		"action":   "KILL",
		"filter":   map[string]any{"services": []string{service}},
		"reason":   "bad deploy",
	})
	if err != nil {
		return err
	}
	record := &kgo.Record{Topic: topic, Key: []byte(batch), Value: value}
	return client.ProduceSync(ctx, record).FirstErr()
}

// follow prints each progress of the batch and returns the last.
func follow(ctx context.Context, client *kgo.Client, batch string) (progress, error) {
	schema, err := schema("BatchProgress")
	if err != nil {
		return progress{}, err
	}
	newest := progress{Revision: -1}
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return newest, err
		}
		for _, record := range fetches.Records() {
			if string(record.Key) != batch || record.Value == nil {
				continue
			}
			var found progress
			if _, err := schema.DecodeSingleObject(record.Value, &found); err != nil {
				return newest, fmt.Errorf("progress of %s is of another version of the schema: %w", batch, err)
			}
			if found.Revision <= newest.Revision {
				continue // absolute values: the highest revision wins
			}
			newest = found
			fmt.Printf("%s %s matched=%d done=%d pending=%d skipped=%d failed=%d\n", batch,
				newest.State, newest.Matched, newest.Done, newest.Pending, newest.Skipped, newest.Failed)
			switch newest.State {
			case "COMPLETED", "ABORTED", "REJECTED":
				return newest, nil
			}
		}
	}
}

func schema(record string) (*avro.Schema, error) {
	text, err := os.ReadFile(filepath.Join(env("SCHEMAS", "../../../schemas"), record+".avsc"))
	if err != nil {
		return nil, errors.Join(err, errors.New("set SCHEMAS to the folder with the .avsc files"))
	}
	return avro.Parse(string(text))
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
