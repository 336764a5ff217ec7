// Keeps franz-go's producer and consumer at work for loadtest/src/stream/; see scene.Flow.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/clients/franz-go/codec"
	"weir/clients/scene"
)

func main() {
	flow := scene.ReadFlow()
	var workers sync.WaitGroup
	for range flow.Members {
		workers.Go(func() { consume(flow) })
	}
	workers.Go(func() { produce(flow) })
	workers.Wait()
}

func connect(flow *scene.Flow, more ...kgo.Opt) *kgo.Client {
	// Errors that it retries are told in its log only.
	logger := kgo.BasicLogger(os.Stderr, kgo.LogLevelInfo, func() string { return time.Now().Format("15:04:05.000 ") })
	opts := []kgo.Opt{kgo.SeedBrokers(strings.Split(flow.Bootstrap, ",")...), kgo.ClientID(flow.Name), kgo.WithLogger(logger)}
	// A gateway takes a connection for a broker that is not there, and closes it; a broker would refuse it. Without this a
	// connection that ends at once counts as a wrong configuration, which is told and not tried again.
	opts = append(opts, kgo.AlwaysRetryEOF())
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		log.Fatal(err)
	}
	return client
}

func produce(flow *scene.Flow) {
	// Idempotent, with acks from all: its defaults.
	client := connect(flow,
		kgo.ProducerBatchCompression(codec.Of[flow.Codec]),
		kgo.ProducerLinger(10*time.Millisecond),
		kgo.ProduceRequestTimeout(5*time.Second),
		kgo.RecordDeliveryTimeout(scene.DeliveryLimit),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		// A broker that has just started may not know the topic for a moment.
		kgo.UnknownTopicRetries(-1),
	)
	defer client.Close()
	sent := flow.Produce(func(sequence int) {
		record := &kgo.Record{Topic: flow.Topic, Partition: int32(sequence % flow.Partitions), Value: flow.Value(sequence)}
		client.Produce(context.Background(), record, func(record *kgo.Record, err error) {
			if err != nil {
				flow.Told("delivery", name(err), fmt.Errorf("%w (record %d)", err, sequence))
				return
			}
			flow.Acknowledged(record.Partition, record.Value)
		})
	})
	if err := client.Flush(context.Background()); err != nil {
		log.Fatal(err)
	}
	flow.Done(sent)
}

func consume(flow *scene.Flow) {
	client := connect(flow,
		kgo.ConsumerGroup(flow.Group),
		kgo.ConsumeTopics(flow.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitInterval(time.Second),
	)
	defer client.Close()
	for !flow.AskedTo("stop-consuming") {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		fetches := client.PollFetches(ctx)
		cancel()
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				flow.Told("consumer", name(err), err)
			}
		})
		fetches.EachRecord(func(record *kgo.Record) { flow.Read(record.Partition, record.Offset, record.Value) })
		flow.Flush()
	}
}

// As Kafka has it; connections that end by the name that librdkafka has for them.
func name(err error) string {
	if kafkas := (*kerr.Error)(nil); errors.As(err, &kafkas) {
		return kafkas.Message
	}
	if network := (*net.OpError)(nil); errors.Is(err, io.EOF) || errors.As(err, &network) {
		return "_TRANSPORT"
	}
	return "OTHER"
}
