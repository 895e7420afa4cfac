// Kills all invocations of one service and follows the batch to its end.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/twmb/franz-go/pkg/kgo"

	"streams/examples/records"
)

// progress is a BatchProgress, its values by the names of the schema's fields.
type progress map[string]any

func main() {
	log.SetFlags(0)
	service := os.Getenv("SERVICE")
	if service == "" {
		log.Fatal("SERVICE is not set: say whose invocations are to be killed")
	}
	batch := records.Env("BATCH", "b-"+rand.Text())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	end, err := run(ctx, batch, service)
	if err != nil {
		log.Fatal(err)
	}
	if end["error"] != nil {
		log.Print(end["error"])
	}
	if end["state"] != "COMPLETED" {
		os.Exit(1)
	}
}

func run(ctx context.Context, batch, service string) (progress, error) {
	prefix := records.Env("PREFIX", "invocations.")
	client, err := kgo.NewClient(
		kgo.SeedBrokers(records.Env("BOOTSTRAP", "localhost:9092")),
		// Keyed records go where Kafka's own murmur2 puts them: that is this client's default partitioner.
		kgo.ConsumeTopics(prefix+"batches"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := start(ctx, client, prefix+"commands", batch, service); err != nil {
		return nil, err
	}
	return follow(ctx, client, batch)
}

// start returns once the command is in the log. Sent again with the same id and content, it still runs once.
func start(ctx context.Context, client *kgo.Client, topic, batch, service string) error {
	schema, err := records.Schema("StartBatch")
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
	schema, err := records.Schema("BatchProgress")
	if err != nil {
		return nil, err
	}
	revision := int64(-1)
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		for _, record := range fetches.Records() {
			if string(record.Key) != batch || record.Value == nil {
				continue
			}
			var found progress
			if _, err := schema.DecodeSingleObject(record.Value, &found); err != nil {
				return nil, fmt.Errorf("progress of %s is of another version of the schema: %w", batch, err)
			}
			if found["revision"].(int64) <= revision {
				continue // absolute values: the highest revision wins
			}
			revision = found["revision"].(int64)
			fmt.Printf("%s %s matched=%d done=%d pending=%d skipped=%d failed=%d\n", batch, found["state"],
				found["matched"], found["done"], found["pending"], found["skipped"], found["failed"])
			switch found["state"] {
			case "COMPLETED", "ABORTED", "REJECTED":
				return found, nil
			}
		}
	}
}
