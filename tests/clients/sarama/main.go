// Plays the scene of loadtest/src/clients with sarama.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"

	"weir/clients/scene"
)

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

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

func bootstrap(s *scene.Scene) []string { return strings.Split(s.Bootstrap, ",") }

func config(s *scene.Scene) (*sarama.Config, error) {
	config := sarama.NewConfig()
	// The newest it knows: its default is years older and lacks half of the script.
	config.Version = sarama.MaxVersion
	config.ClientID = s.ClientID
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Producer.Return.Successes = true
	tls, err := s.TLSConfig()
	config.Net.TLS.Enable, config.Net.TLS.Config = tls != nil, tls
	if s.Login != nil {
		sasl := &config.Net.SASL
		sasl.Enable, sasl.Mechanism = true, sarama.SASLMechanism(s.Login.Mechanism)
		sasl.User, sasl.Password = s.Login.User, s.Login.Password
		switch sasl.Mechanism {
		case sarama.SASLTypeSCRAMSHA256:
			sasl.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA256} }
		case sarama.SASLTypeSCRAMSHA512:
			sasl.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA512} }
		}
	}
	return config, err
}

// sarama brings no SCRAM of its own.
type scramClient struct {
	hash scram.HashGeneratorFcn
	*scram.ClientConversation
}

func (c *scramClient) Begin(user, password, authzID string) error {
	client, err := c.hash.NewClient(user, password, authzID)
	if err == nil {
		c.ClientConversation = client.NewConversation()
	}
	return err
}

// With an admin client that is closed again.
func administered(s *scene.Scene, ask func(sarama.ClusterAdmin) (scene.Outcome, error)) (scene.Outcome, error) {
	config, err := config(s)
	if err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdmin(bootstrap(s), config)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	return ask(admin)
}

func create(_ context.Context, s *scene.Scene) (scene.Outcome, error) {
	return createTopic(s, s.Topic)
}

func createTopic(s *scene.Scene, topic string) (scene.Outcome, error) {
	return administered(s, func(admin sarama.ClusterAdmin) (scene.Outcome, error) {
		detail := &sarama.TopicDetail{NumPartitions: s.Partitions, ReplicationFactor: s.Replication}
		return nil, admin.CreateTopic(topic, detail, false)
	})
}

func produce(_ context.Context, s *scene.Scene) (scene.Outcome, error) {
	for _, batch := range s.Script {
		if err := produceBatch(s, batch); err != nil {
			return nil, fmt.Errorf("%s: %w", batch.Codec, err)
		}
	}
	return nil, nil
}

func produceBatch(s *scene.Scene, batch scene.Batch) error {
	config, err := config(s)
	if err != nil {
		return err
	}
	config.Producer.Compression = codecs[batch.Codec]
	config.Producer.Flush.Frequency = 20 * time.Millisecond
	config.Producer.Idempotent, config.Net.MaxOpenRequests = true, 1
	config.Producer.RequiredAcks = sarama.WaitForAll
	producer, err := sarama.NewSyncProducer(bootstrap(s), config)
	if err != nil {
		return err
	}
	defer producer.Close()

	messages := []*sarama.ProducerMessage{}
	for _, r := range batch.Records {
		message := &sarama.ProducerMessage{Topic: s.Topic, Key: encoder(r.Key), Value: encoder(r.Value)}
		for _, header := range r.Headers {
			header := sarama.RecordHeader{Key: []byte(*header[0]), Value: scene.Bytes(header[1])}
			message.Headers = append(message.Headers, header)
		}
		messages = append(messages, message)
	}
	return producer.SendMessages(messages)
}

// A nil interface is null; an encoder of nil bytes would be the empty text.
func encoder(text *string) sarama.Encoder {
	if text == nil {
		return nil
	}
	return sarama.StringEncoder(*text)
}

// collector is a group member that hands on what it reads, and commits it when it leaves.
type collector struct{ messages chan *sarama.ConsumerMessage }

func (c *collector) Setup(sarama.ConsumerGroupSession) error { return nil }

func (c *collector) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	return nil
}

func (c *collector) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		select {
		case c.messages <- message:
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
	return nil
}

func consumeGroup(ctx context.Context, s *scene.Scene, config *sarama.Config, group, topic string, count int) ([]*sarama.ConsumerMessage, error) {
	member, err := sarama.NewConsumerGroup(bootstrap(s), group, config)
	if err != nil {
		return nil, err
	}
	defer member.Close()
	ctx, cancel := context.WithCancel(ctx)
	collector := &collector{messages: make(chan *sarama.ConsumerMessage)}
	ended := make(chan error, 1)
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			err = member.Consume(ctx, []string{topic}, collector)
		}
		ended <- err
	}()
	messages := []*sarama.ConsumerMessage{}
	for len(messages) < count {
		select {
		case message := <-collector.messages:
			messages = append(messages, message)
		case err := <-ended:
			cancel()
			return nil, fmt.Errorf("%d of %d messages read: %w", len(messages), count, errors.Join(err, ctx.Err()))
		}
	}
	cancel()
	return messages, <-ended
}

func consume(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	config, err := config(s)
	if err != nil {
		return nil, err
	}
	messages, err := consumeGroup(ctx, s, config, s.Group, s.Topic, s.Count())
	return scene.Outcome{"records": told(messages)}, err
}

func told(messages []*sarama.ConsumerMessage) []scene.Record {
	told := []scene.Record{}
	for _, in := range messages {
		r := scene.Record{Key: scene.Text(in.Key), Value: scene.Text(in.Value), Headers: [][2]*string{}}
		for _, header := range in.Headers {
			r.Headers = append(r.Headers, [2]*string{scene.Text(header.Key), scene.Text(header.Value)})
		}
		told = append(told, r)
	}
	return told
}

func seek(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	config, err := config(s)
	if err != nil {
		return nil, err
	}
	consumer, err := sarama.NewConsumer(bootstrap(s), config)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	if _, err := readFromStart(ctx, s, consumer); err != nil {
		return nil, err
	}
	messages, err := readFromStart(ctx, s, consumer)
	return scene.Outcome{"records": told(messages)}, err
}

// To seek is to open a partition again, at another offset.
func readFromStart(ctx context.Context, s *scene.Scene, consumer sarama.Consumer) ([]*sarama.ConsumerMessage, error) {
	arriving := make(chan *sarama.ConsumerMessage)
	var readers sync.WaitGroup
	defer readers.Wait()
	for partition := range s.Partitions {
		from, err := consumer.ConsumePartition(s.Topic, partition, 0)
		if err != nil {
			return nil, err
		}
		defer from.AsyncClose()
		readers.Go(func() {
			for message := range from.Messages() {
				select {
				case arriving <- message:
				case <-ctx.Done():
				}
			}
		})
	}
	messages := []*sarama.ConsumerMessage{}
	for len(messages) < s.Count() {
		select {
		case message := <-arriving:
			messages = append(messages, message)
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d messages read: %w", len(messages), s.Count(), ctx.Err())
		}
	}
	return messages, nil
}

func transaction(ctx context.Context, s *scene.Scene) (scene.Outcome, error) {
	topic := s.TransactionTopic()
	if _, err := createTopic(s, topic); err != nil {
		return nil, err
	}
	config, err := config(s)
	if err != nil {
		return nil, err
	}
	config.Producer.Idempotent, config.Net.MaxOpenRequests = true, 1
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Transaction.ID = topic
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	producer, err := sarama.NewSyncProducer(bootstrap(s), config)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	aborted := inTransaction(producer, topic, "aborted", producer.AbortTxn)
	committed := inTransaction(producer, topic, "committed", producer.CommitTxn)
	if err := errors.Join(aborted, committed); err != nil {
		return nil, err
	}

	messages, err := consumeGroup(ctx, s, config, topic, topic, scene.InTransaction)
	values := []string{}
	for _, message := range messages {
		values = append(values, string(message.Value))
	}
	return scene.Outcome{"values": values}, err
}

// Acknowledged before it ends, or an abort has nothing to take back.
func inTransaction(producer sarama.SyncProducer, topic, word string, end func() error) error {
	if err := producer.BeginTxn(); err != nil {
		return err
	}
	messages := []*sarama.ProducerMessage{}
	for n := range scene.InTransaction {
		key, value := sarama.StringEncoder(fmt.Sprint(n)), sarama.StringEncoder(fmt.Sprintf("%s-%d", word, n))
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Key: key, Value: value})
	}
	if err := producer.SendMessages(messages); err != nil {
		return err
	}
	return end()
}

func deleteRecords(_ context.Context, s *scene.Scene) (scene.Outcome, error) {
	return administered(s, func(admin sarama.ClusterAdmin) (scene.Outcome, error) {
		return nil, admin.DeleteRecords(s.Topic, map[int32]int64{0: 1})
	})
}

func describeTopic(_ context.Context, s *scene.Scene) (scene.Outcome, error) {
	return administered(s, func(admin sarama.ClusterAdmin) (scene.Outcome, error) {
		topics, err := admin.DescribeTopics([]string{s.Topic})
		if err != nil {
			return nil, err
		}
		return scene.Outcome{"partitions": len(topics[0].Partitions)}, nil
	})
}

func describeCluster(_ context.Context, s *scene.Scene) (scene.Outcome, error) {
	return administered(s, func(admin sarama.ClusterAdmin) (scene.Outcome, error) {
		brokers, _, err := admin.DescribeCluster()
		addresses := []string{}
		for _, broker := range brokers {
			addresses = append(addresses, broker.Addr())
		}
		return scene.Outcome{"addresses": addresses}, err
	})
}

func describeConfigs(_ context.Context, s *scene.Scene) (scene.Outcome, error) {
	return administered(s, func(admin sarama.ClusterAdmin) (scene.Outcome, error) {
		asked := sarama.ConfigResource{Type: sarama.TopicResource, Name: s.Topic, ConfigNames: []string{"cleanup.policy"}}
		entries, err := admin.DescribeConfig(asked)
		outcome := scene.Outcome{}
		for _, entry := range entries {
			outcome[entry.Name] = entry.Value
		}
		return outcome, err
	})
}

func describeGroup(_ context.Context, s *scene.Scene) (scene.Outcome, error) {
	return administered(s, func(admin sarama.ClusterAdmin) (scene.Outcome, error) {
		groups, err := admin.DescribeConsumerGroups([]string{s.Group})
		if err != nil {
			return nil, err
		}
		coordinator, err := admin.Coordinator(s.Group)
		if err != nil {
			return nil, err
		}
		return scene.Outcome{"state": groups[0].State, "addresses": []string{coordinator.Addr()}}, nil
	})
}
