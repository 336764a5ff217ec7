// Plays the scene of loadtest/src/clients with segmentio's kafka-go.
package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"weir/clients/scene"
)

var codecs = map[string]kafka.Compression{
	"none":   0,
	"gzip":   kafka.Gzip,
	"snappy": kafka.Snappy,
	"lz4":    kafka.Lz4,
	"zstd":   kafka.Zstd,
}

func main() {
	scene.Play(map[string]scene.Step{
		"create":           create,
		"produce":          produce,
		"consume":          consume,
		"seek":             seek,
		"describe_topic":   describeTopic,
		"describe_cluster": describeCluster,
		"describe_configs": describeConfigs,
		"describe_group":   describeGroup,
	})
}

func mechanism(l *scene.Login) (sasl.Mechanism, error) {
	if l == nil {
		return nil, nil
	}
	switch l.Mechanism {
	case "PLAIN":
		return plain.Mechanism{Username: l.User, Password: l.Password}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, l.User, l.Password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, l.User, l.Password)
	}
	return nil, fmt.Errorf("mechanism %s is not played here", l.Mechanism)
}

// What writers and requests go through.
func transport(s *scene.Scene) (*kafka.Transport, error) {
	tls, err := s.TLSConfig()
	if err != nil {
		return nil, err
	}
	mechanism, err := mechanism(s.Login)
	return &kafka.Transport{ClientID: s.ClientID, TLS: tls, SASL: mechanism}, err
}

// What readers go through.
func dialer(s *scene.Scene) (*kafka.Dialer, error) {
	tls, err := s.TLSConfig()
	if err != nil {
		return nil, err
	}
	mechanism, err := mechanism(s.Login)
	return &kafka.Dialer{ClientID: s.ClientID, TLS: tls, SASLMechanism: mechanism, Timeout: 10 * time.Second}, err
}

func brokers(s *scene.Scene) []string { return strings.Split(s.Bootstrap, ",") }

func connect(s *scene.Scene) (*kafka.Client, error) {
	transport, err := transport(s)
	return &kafka.Client{Addr: kafka.TCP(brokers(s)...), Transport: transport}, err
}

func create(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	client, err := connect(s)
	if err != nil {
		return nil, err
	}
	topic := kafka.TopicConfig{Topic: s.Topic, NumPartitions: int(s.Partitions), ReplicationFactor: int(s.Replication)}
	created, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{topic}})
	if err != nil {
		return nil, err
	}
	return nil, created.Errors[s.Topic]
}

func produce(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	for _, batch := range s.Script {
		if err := produceBatch(ctx, s, batch); err != nil {
			return nil, fmt.Errorf("%s: %w", batch.Codec, err)
		}
	}
	return nil, nil
}

func produceBatch(ctx context.Context, s *scene.Scene, batch scene.Batch) error {
	transport, err := transport(s)
	if err != nil {
		return err
	}
	writer := &kafka.Writer{
		Addr:         kafka.TCP(brokers(s)...),
		Topic:        s.Topic,
		Balancer:     &kafka.Hash{},
		BatchTimeout: 20 * time.Millisecond,
		RequiredAcks: kafka.RequireAll,
		Compression:  codecs[batch.Codec],
		Transport:    transport,
	}
	defer writer.Close()

	messages := []kafka.Message{}
	for _, r := range batch.Records {
		message := kafka.Message{Key: scene.Bytes(r.Key), Value: scene.Bytes(r.Value)}
		for _, header := range r.Headers {
			message.Headers = append(message.Headers, kafka.Header{Key: *header[0], Value: scene.Bytes(header[1])})
		}
		messages = append(messages, message)
	}
	return writer.WriteMessages(ctx, messages...)
}

func consume(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	dialer, err := dialer(s)
	if err != nil {
		return nil, err
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:     brokers(s),
		Dialer:      dialer,
		GroupID:     s.Group,
		Topic:       s.Topic,
		StartOffset: kafka.FirstOffset,
		MaxWait:     500 * time.Millisecond,
	})
	defer reader.Close()
	messages, err := read(ctx, reader, s.Count())
	if err != nil {
		return nil, err
	}
	return scene.Outcome{"records": told(messages)}, reader.CommitMessages(ctx, messages...)
}

func read(ctx context.Context, reader *kafka.Reader, count int) ([]kafka.Message, error) {
	messages := []kafka.Message{}
	for len(messages) < count {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			return nil, fmt.Errorf("%d of %d messages read: %w", len(messages), count, err)
		}
		messages = append(messages, message)
	}
	return messages, nil
}

func told(messages []kafka.Message) []scene.Record {
	told := []scene.Record{}
	for _, in := range messages {
		r := scene.Record{Key: scene.Text(in.Key), Value: scene.Text(in.Value), Headers: [][2]*string{}}
		for _, header := range in.Headers {
			r.Headers = append(r.Headers, [2]*string{&header.Key, scene.Text(header.Value)})
		}
		told = append(told, r)
	}
	return told
}

// A reader outside of a group reads one partition.
func seek(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	records := []scene.Record{}
	for partition := range s.Partitions {
		again, err := readTwice(ctx, s, int(partition))
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", partition, err)
		}
		records = append(records, told(again)...)
	}
	return scene.Outcome{"records": records}, nil
}

func readTwice(ctx context.Context, s *scene.Scene, partition int) ([]kafka.Message, error) {
	dialer, err := dialer(s)
	if err != nil {
		return nil, err
	}
	leader, err := dialer.DialLeader(ctx, "tcp", brokers(s)[0], s.Topic, partition)
	if err != nil {
		return nil, err
	}
	defer leader.Close()
	first, end, err := leader.ReadOffsets()
	if err != nil {
		return nil, err
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:   brokers(s),
		Dialer:    dialer,
		Topic:     s.Topic,
		Partition: partition,
		MaxWait:   500 * time.Millisecond,
	})
	defer reader.Close()
	if _, err := read(ctx, reader, int(end-first)); err != nil {
		return nil, err
	}
	if err := reader.SetOffset(first); err != nil {
		return nil, err
	}
	return read(ctx, reader, int(end-first))
}

func metadata(ctx context.Context, s *scene.Scene) (*kafka.MetadataResponse, error) {
	client, err := connect(s)
	if err != nil {
		return nil, err
	}
	return client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{s.Topic}})
}

func describeTopic(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	metadata, err := metadata(ctx, s)
	if err != nil {
		return nil, err
	}
	topic, addresses := metadata.Topics[0], []string{}
	for _, partition := range topic.Partitions {
		addresses = append(addresses, address(partition.Leader))
	}
	return scene.Outcome{"partitions": len(topic.Partitions), "addresses": addresses}, topic.Error
}

func describeCluster(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	metadata, err := metadata(ctx, s)
	if err != nil {
		return nil, err
	}
	addresses := []string{}
	for _, broker := range metadata.Brokers {
		addresses = append(addresses, address(broker))
	}
	return scene.Outcome{"addresses": addresses}, nil
}

func address(broker kafka.Broker) string { return fmt.Sprintf("%s:%d", broker.Host, broker.Port) }

func describeConfigs(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	client, err := connect(s)
	if err != nil {
		return nil, err
	}
	topic := kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: s.Topic}
	asked := &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{topic}}
	described, err := client.DescribeConfigs(ctx, asked)
	if err != nil {
		return nil, err
	}
	outcome := scene.Outcome{}
	for _, entry := range described.Resources[0].ConfigEntries {
		if entry.ConfigName == "cleanup.policy" {
			outcome[entry.ConfigName] = entry.ConfigValue
		}
	}
	return outcome, described.Resources[0].Error
}

func describeGroup(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	client, err := connect(s)
	if err != nil {
		return nil, err
	}
	described, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{s.Group}})
	if err != nil {
		return nil, err
	}
	return scene.Outcome{"state": described.Groups[0].GroupState}, described.Groups[0].Error
}
