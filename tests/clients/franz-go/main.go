// Plays the scene of loadtest/src/clients with franz-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"weir/clients/franz-go/codec"
	"weir/clients/scene"
)

func main() {
	scene.Play(map[string]scene.Step{
		"create":           create,
		"produce":          produce,
		"consume":          consume,
		"seek":             seek,
		"transaction":      transaction,
		"delete_records":   deleteRecords,
		"describe_topic":   describeTopic,
		"describe_cluster": describeCluster,
		"describe_configs": describeConfigs,
		"describe_group":   describeGroup,
	})
}

func connect(s *scene.Scene, more ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(strings.Split(s.Bootstrap, ",")...), kgo.ClientID(s.ClientID)}
	tls, err := s.TLSConfig()
	if err != nil {
		return nil, err
	}
	if tls != nil {
		opts = append(opts, kgo.DialTLSConfig(tls))
	}
	if s.Login != nil {
		mechanism, err := mechanism(s.Login)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return kgo.NewClient(append(opts, more...)...)
}

func mechanism(l *scene.Login) (sasl.Mechanism, error) {
	auth := scram.Auth{User: l.User, Pass: l.Password}
	switch l.Mechanism {
	case "PLAIN":
		return plain.Auth{User: l.User, Pass: l.Password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return auth.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return auth.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("mechanism %s is not played here", l.Mechanism)
}

func administer(s *scene.Scene) (*kadm.Client, error) {
	client, err := connect(s)
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(client), nil
}

func create(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	return nil, createTopic(ctx, s, s.Topic)
}

func createTopic(ctx context.Context, s *scene.Scene, topic string) error {
	admin, err := administer(s)
	if err != nil {
		return err
	}
	defer admin.Close()
	_, err = admin.CreateTopic(ctx, s.Partitions, s.Replication, nil, topic)
	return err
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
	client, err := connect(s, kgo.ProducerBatchCompression(codec.Of[batch.Codec]), kgo.ProducerLinger(20*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()

	records := make([]*kgo.Record, 0, len(batch.Records))
	for _, r := range batch.Records {
		out := &kgo.Record{Topic: s.Topic, Key: scene.Bytes(r.Key), Value: scene.Bytes(r.Value)}
		for _, header := range r.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: *header[0], Value: scene.Bytes(header[1])})
		}
		records = append(records, out)
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

func consume(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	client, err := connect(s,
		kgo.ConsumerGroup(s.Group),
		kgo.ConsumeTopics(s.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()

	records, err := read(ctx, client, s.Count())
	if err != nil {
		return nil, err
	}
	return scene.Outcome{"records": told(records)}, client.CommitUncommittedOffsets(ctx)
}

func read(ctx context.Context, client *kgo.Client, count int) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("%d of %d records read: %w", len(records), count, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records, nil
}

func told(records []*kgo.Record) []scene.Record {
	told := []scene.Record{}
	for _, in := range records {
		r := scene.Record{Key: scene.Text(in.Key), Value: scene.Text(in.Value), Headers: [][2]*string{}}
		for _, header := range in.Headers {
			r.Headers = append(r.Headers, [2]*string{&header.Key, scene.Text(header.Value)})
		}
		told = append(told, r)
	}
	return told
}

func seek(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	client, err := connect(s, kgo.ConsumeTopics(s.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()

	if _, err := read(ctx, client, s.Count()); err != nil {
		return nil, err
	}
	start := map[int32]kgo.EpochOffset{}
	for partition := range s.Partitions {
		start[partition] = kgo.EpochOffset{Epoch: -1, Offset: 0}
	}
	client.SetOffsets(map[string]map[int32]kgo.EpochOffset{s.Topic: start})
	records, err := read(ctx, client, s.Count())
	return scene.Outcome{"records": told(records)}, err
}

func transaction(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	topic := s.TransactionTopic()
	if err := createTopic(ctx, s, topic); err != nil {
		return nil, err
	}
	producer, err := connect(s, kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		word := map[kgo.TransactionEndTry]string{kgo.TryAbort: "aborted", kgo.TryCommit: "committed"}[end]
		if err := producer.BeginTransaction(); err != nil {
			return nil, err
		}
		// Acknowledged before it ends, or an abort has nothing to take back.
		for n := range scene.InTransaction {
			record := kgo.KeyStringRecord(fmt.Sprint(n), fmt.Sprintf("%s-%d", word, n))
			if err := producer.ProduceSync(ctx, record).FirstErr(); err != nil {
				return nil, err
			}
		}
		if err := producer.EndTransaction(ctx, end); err != nil {
			return nil, err
		}
	}

	consumer, err := connect(s,
		kgo.ConsumerGroup(topic),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	records, err := read(ctx, consumer, scene.InTransaction)
	values := []string{}
	for _, record := range records {
		values = append(values, string(record.Value))
	}
	return scene.Outcome{"values": values}, err
}

func deleteRecords(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	admin, err := administer(s)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	before := kadm.Offsets{}
	before.AddOffset(s.Topic, 0, 1, -1)
	deleted, err := admin.DeleteRecords(ctx, before)
	if err := errors.Join(err, deleted.Error()); err != nil {
		return nil, err
	}
	partition, _ := deleted.Lookup(s.Topic, 0)
	return scene.Outcome{"low": partition.LowWatermark}, nil
}

func describeTopic(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	admin, err := administer(s)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	topics, err := admin.ListTopics(ctx, s.Topic)
	if err := errors.Join(err, topics.Error()); err != nil {
		return nil, err
	}
	return scene.Outcome{"partitions": len(topics[s.Topic].Partitions)}, nil
}

func describeCluster(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	admin, err := administer(s)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	cluster, err := admin.BrokerMetadata(ctx)
	addresses := []string{}
	for _, broker := range cluster.Brokers {
		addresses = append(addresses, fmt.Sprintf("%s:%d", broker.Host, broker.Port))
	}
	return scene.Outcome{"addresses": addresses}, err
}

func describeConfigs(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	admin, err := administer(s)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	resources, err := admin.DescribeTopicConfigs(ctx, s.Topic)
	if err != nil {
		return nil, err
	}
	resource, err := resources.On(s.Topic, nil)
	outcome := scene.Outcome{}
	for _, config := range resource.Configs {
		if config.Key == "cleanup.policy" {
			outcome[config.Key] = config.MaybeValue()
		}
	}
	return outcome, err
}

func describeGroup(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	admin, err := administer(s)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	groups, err := admin.DescribeGroups(ctx, s.Group)
	if err := errors.Join(err, groups.Error()); err != nil {
		return nil, err
	}
	group := groups[s.Group]
	coordinator := fmt.Sprintf("%s:%d", group.Coordinator.Host, group.Coordinator.Port)
	return scene.Outcome{"state": group.State, "addresses": []string{coordinator}}, nil
}
