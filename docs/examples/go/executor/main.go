// Runs the invocations of one service, until SIGTERM. The payload says for how many milliseconds each pretends to work.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"

	"streams/examples/records"
)

const most = 1000 // runs at once

// Why a run is stopped; `leave`: its partition is another executor's now.
var (
	stops = map[string]error{"CANCEL": errors.New("CANCEL"), "KILL": errors.New("KILL"), "PAUSE": errors.New("PAUSE")}
	leave = errors.New("LEAVE")
)

// message has what is needed of a Signal.
type message struct {
	Kind       string     `avro:"kind"`
	Invocation invocation `avro:"invocation"`
	Seq        int64      `avro:"seq"`
	Attempt    int64      `avro:"attempt"`
	Payload    []byte     `avro:"payload"`
}

type invocation struct {
	ID      string `avro:"invocation_id"`
	Service string `avro:"service"`
	Handler string `avro:"handler"`
	LeaseMs *int64 `avro:"lease_ms"`
}

type key struct {
	partition int32
	seq       int64
}

type run struct {
	attempt int64
	stop    context.CancelCauseFunc
}

// place is the offset behind the last signal of a partition, and the offsets of those not dealt with yet.
type place struct {
	next int64
	open map[int64]bool
}

type executor struct {
	client           *kgo.Client
	service, prefix  string
	signals, reports *avro.Schema

	lock   sync.Mutex
	fewer  *sync.Cond   // than before: runs have ended, or all is to end
	runs   map[key]*run // each invocation that runs here
	places map[int32]*place
}

// handle is your handler: it gives up when ctx ends. It may run again after a restart, so let it be idempotent.
func handle(ctx context.Context, _ invocation, payload []byte) error {
	ms, err := strconv.Atoi("0" + string(payload))
	if err != nil {
		return err
	}
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func main() {
	log.SetFlags(0)
	e := &executor{
		service: os.Getenv("SERVICE"),
		prefix:  records.Env("PREFIX", "invocations."),
		runs:    map[key]*run{},
		places:  map[int32]*place{},
	}
	e.fewer = sync.NewCond(&e.lock)
	if e.service == "" {
		log.Fatal("SERVICE is not set: say whose invocations are to be run")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := e.execute(ctx); err != nil {
		log.Fatal(err)
	}
}

// execute returns when ctx ends. What has not ended then runs again elsewhere, or in the next life.
func (e *executor) execute(ctx context.Context) (err error) {
	if e.signals, err = records.Schema("Signal"); err != nil {
		return err
	}
	if e.reports, err = records.Schema("ReportTransition"); err != nil {
		return err
	}
	topic := e.prefix + "signals"
	e.client, err = kgo.NewClient(
		kgo.SeedBrokers(records.Env("BOOTSTRAP", "localhost:9092")),
		kgo.ConsumerGroup(records.Env("GROUP", e.prefix+e.service+"-executors")),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // no partition goes while its signals are taken
		kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
			e.commit(ctx)
			e.leave(gone[topic])
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { e.leave(gone[topic]) }),
	)
	if err != nil {
		return err
	}
	defer e.client.CloseAllowingRebalance() // it revokes, and so commits
	context.AfterFunc(ctx, e.fewer.Broadcast)
	go func() {
		for range time.Tick(time.Second) {
			e.commit(ctx)
		}
	}()
	for {
		fetches := e.client.PollRecords(ctx, e.room(ctx))
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			if err := e.take(record); err != nil {
				return err
			}
		}
		e.client.AllowRebalance()
	}
}

// room waits until one more may run; returns how many.
func (e *executor) room(ctx context.Context) int {
	e.lock.Lock()
	defer e.lock.Unlock()
	for len(e.runs) >= most && ctx.Err() == nil {
		e.fewer.Wait()
	}
	return max(1, most-len(e.runs))
}

// take deals with one signal; what takes time goes on beside.
func (e *executor) take(record *kgo.Record) error {
	var found message
	if _, err := e.signals.DecodeSingleObject(record.Value, &found, avro.SkipUnknown()); err != nil {
		return err // of another version of the schema
	}
	e.lock.Lock()
	defer e.lock.Unlock()
	at := e.places[record.Partition]
	if at == nil {
		at = &place{open: map[int64]bool{}}
		e.places[record.Partition] = at
	}
	at.next = record.Offset + 1
	if found.Invocation.Service != e.service {
		return nil // another executor's
	}
	of := key{record.Partition, found.Seq}
	here := e.runs[of]
	switch same := here != nil && here.attempt == found.Attempt; {
	case found.Kind == "START" && !same:
		if here != nil {
			here.stop(stops["KILL"]) // an earlier attempt
		}
		ctx, stop := context.WithCancelCause(context.Background())
		begun := &run{found.Attempt, stop}
		e.runs[of] = begun
		e.beside(at, record.Offset, func() {
			e.run(ctx, found)
			e.forget(of, begun)
		})
	case found.Kind != "START" && same:
		here.stop(stops[found.Kind]) // the first stop counts: a repeat changes nothing
	case found.Kind == "CANCEL" && here == nil:
		e.beside(at, record.Offset, func() { e.report(found, "CANCELLED", nil) }) // nothing is left to stop
	}
	return nil
}

// beside does what takes time: the signal is dealt with when it is done.
func (e *executor) beside(at *place, offset int64, do func()) {
	at.open[offset] = true
	go func() {
		do()
		e.lock.Lock()
		defer e.lock.Unlock()
		delete(at.open, offset)
	}()
}

func (e *executor) run(ctx context.Context, of message) {
	e.running(of)
	renewed := func() {}
	if lease := of.Invocation.LeaseMs; lease != nil {
		renewed = e.renew(of, time.Duration(*lease)*time.Millisecond/3)
	}
	err := handle(ctx, of.Invocation, of.Payload)
	renewed() // a renewal behind the last report would look like another run
	switch cause := context.Cause(ctx); {
	case cause == stops["KILL"] || cause == leave: // it has ended already, or runs again elsewhere
	case err == nil:
		e.report(of, "COMPLETED", nil)
	case cause == stops["CANCEL"]:
		e.report(of, "CANCELLED", nil)
	case cause == nil:
		text := []rune(err.Error())
		e.report(of, "FAILED", map[string]any{"error": string(text[:min(len(text), 1000)])})
	}
}

// renew reports RUNNING again and again, until the function that it returns has returned.
func (e *executor) renew(of message, every time.Duration) (end func()) {
	renewal, over, ended := time.NewTicker(every), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer renewal.Stop()
		for {
			select {
			case <-renewal.C:
				e.running(of)
			case <-over:
				return
			}
		}
	}()
	return func() {
		close(over)
		<-ended
	}
}

// running is the only report with a number; it renews the lease, too.
func (e *executor) running(of message) {
	e.report(of, "RUNNING", map[string]any{"report_no": time.Now().UnixMicro()})
}

// report returns once the report is in the log; without it the signal stays uncommitted, and the next life begins
// with it. `attempt` and `seq` are echoed: a report of another life is ignored.
func (e *executor) report(of message, to string, more map[string]any) {
	fields := map[string]any{"invocation_id": of.Invocation.ID, "attempt": of.Attempt, "seq": of.Seq, "to": to}
	for name, value := range more {
		fields[name] = value
	}
	value, err := e.reports.AppendSingleObject(nil, fields)
	if err != nil {
		log.Fatal(err)
	}
	key := of.Invocation.ID // the routing key: all before the last ~
	if end := strings.LastIndex(key, "~"); end >= 0 {
		key = key[:end]
	}
	record := &kgo.Record{Topic: e.prefix + "commands", Key: []byte(key), Value: value}
	err = e.client.ProduceSync(context.Background(), record).FirstErr()
	if err != nil && !errors.Is(err, kgo.ErrClientClosed) {
		log.Fatal(err)
	}
}

// forget is for a run that has ended, unless another has taken its place.
func (e *executor) forget(of key, ended *run) {
	e.lock.Lock()
	defer e.lock.Unlock()
	if e.runs[of] == ended {
		delete(e.runs, of)
	}
	e.fewer.Broadcast()
}

// commit says how far each partition is dealt with: as far as its oldest open signal.
func (e *executor) commit(ctx context.Context) {
	e.lock.Lock()
	offsets := map[int32]kgo.EpochOffset{}
	for partition, at := range e.places {
		oldest := at.next
		for offset := range at.open {
			oldest = min(oldest, offset)
		}
		offsets[partition] = kgo.EpochOffset{Epoch: -1, Offset: oldest}
	}
	e.lock.Unlock()
	// While partitions move it may be refused; the next one counts.
	e.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{e.prefix + "signals": offsets}, nil)
}

// leave stops what runs on partitions that have gone: whoever has them now begins it again.
func (e *executor) leave(gone []int32) {
	e.lock.Lock()
	defer e.lock.Unlock()
	for _, partition := range gone {
		delete(e.places, partition)
		for of, begun := range e.runs {
			if of.partition == partition {
				begun.stop(leave)
				delete(e.runs, of)
			}
		}
	}
	e.fewer.Broadcast()
}
