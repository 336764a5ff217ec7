// Plays the scene of loadtest/src/clients.rs with franz-go.
//
// One argument, a JSON object: bootstrap, client_id, login, topic, partitions, group. The login is null or an object:
// mechanism, user, password. Standard input: one JSON record per line with the codec to send it under. Standard output:
// what the group read, one JSON record per line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const limit = 60 * time.Second

type scene struct {
	Bootstrap  string `json:"bootstrap"`
	ClientID   string `json:"client_id"`
	Login      *login `json:"login"`
	Topic      string `json:"topic"`
	Partitions int32  `json:"partitions"`
	Group      string `json:"group"`
}

type login struct {
	Mechanism string `json:"mechanism"`
	User      string `json:"user"`
	Password  string `json:"password"`
}

type record struct {
	Codec   string       `json:"codec,omitempty"`
	Key     *string      `json:"key"`
	Value   *string      `json:"value"`
	Headers [][2]*string `json:"headers"`
}

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func main() {
	log.SetFlags(0)
	var s scene
	if err := json.Unmarshal([]byte(os.Args[1]), &s); err != nil {
		log.Fatalf("argument: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()

	records, order := readScript()
	if err := createTopic(ctx, s); err != nil {
		log.Fatalf("create topic: %v", err)
	}
	for _, codec := range order {
		if err := produce(ctx, s, codec, records[codec]); err != nil {
			log.Fatalf("produce with %s: %v", codec, err)
		}
	}
	expected := 0
	for _, of := range records {
		expected += len(of)
	}
	if err := consume(ctx, s, expected); err != nil {
		log.Fatalf("consume: %v", err)
	}
}

// readScript gives the records by codec, and the codecs in the order they came.
func readScript() (map[string][]record, []string) {
	records, order := map[string][]record{}, []string{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			log.Fatalf("standard input: %v", err)
		}
		if _, known := records[r.Codec]; !known {
			order = append(order, r.Codec)
		}
		records[r.Codec] = append(records[r.Codec], r)
	}
	return records, order
}

func connect(s scene, more ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(strings.Split(s.Bootstrap, ",")...), kgo.ClientID(s.ClientID)}
	if s.Login != nil {
		mechanism, err := s.Login.mechanism()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return kgo.NewClient(append(opts, more...)...)
}

func (l login) mechanism() (sasl.Mechanism, error) {
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

func createTopic(ctx context.Context, s scene) error {
	client, err := connect(s)
	if err != nil {
		return err
	}
	defer client.Close()

	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = s.Topic, s.Partitions, 1
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.Topics[0].ErrorCode)
}

func produce(ctx context.Context, s scene, codec string, records []record) error {
	client, err := connect(s, kgo.ProducerBatchCompression(codecs[codec]), kgo.ProducerLinger(20*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()

	batch := make([]*kgo.Record, 0, len(records))
	for _, r := range records {
		out := &kgo.Record{Topic: s.Topic, Key: encoded(r.Key), Value: encoded(r.Value)}
		for _, header := range r.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: *header[0], Value: encoded(header[1])})
		}
		batch = append(batch, out)
	}
	return client.ProduceSync(ctx, batch...).FirstErr()
}

func consume(ctx context.Context, s scene, expected int) error {
	client, err := connect(s,
		kgo.ConsumerGroup(s.Group),
		kgo.ConsumeTopics(s.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
	)
	if err != nil {
		return err
	}
	defer client.Close()

	out := json.NewEncoder(os.Stdout)
	for read := 0; read < expected; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d of %d records read: %w", read, expected, err)
		}
		for _, in := range fetches.Records() {
			r := record{Key: decoded(in.Key), Value: decoded(in.Value), Headers: [][2]*string{}}
			for _, header := range in.Headers {
				name := header.Key
				r.Headers = append(r.Headers, [2]*string{&name, decoded(header.Value)})
			}
			if err := out.Encode(r); err != nil {
				return err
			}
			read++
		}
	}
	return client.CommitUncommittedOffsets(ctx)
}

// encoded keeps Kafka's null apart from the empty text.
func encoded(text *string) []byte {
	if text == nil {
		return nil
	}
	return append([]byte{}, *text...)
}

func decoded(data []byte) *string {
	if data == nil {
		return nil
	}
	text := string(data)
	return &text
}
