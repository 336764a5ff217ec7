// Package scene is what the Go programs have in common: what they are told, and how they answer.
//
// One argument, a JSON object: bootstrap, client_id, login, tls, topic, partitions, replication, group, steps. The login
// is null or an object: mechanism, user, password. Standard input: one JSON record per line with the codec to send it
// under. Standard output: one JSON object per step, in their order.
package scene

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"
)

const limit = 80 * time.Second

// InTransaction is how many records each of the two transactions holds.
const InTransaction = 12

// Scene is what the argument and the standard input say.
type Scene struct {
	Bootstrap   string   `json:"bootstrap"`
	ClientID    string   `json:"client_id"`
	Login       *Login   `json:"login"`
	TLS         *TLS     `json:"tls"`
	Topic       string   `json:"topic"`
	Partitions  int32    `json:"partitions"`
	Replication int16    `json:"replication"`
	Group       string   `json:"group"`
	Steps       []string `json:"steps"`
	Script      []Batch  `json:"-"`
}

// Login is as whom the client comes.
type Login struct {
	Mechanism string `json:"mechanism"`
	User      string `json:"user"`
	Password  string `json:"password"`
}

// TLS names PEM files.
type TLS struct {
	CA          string  `json:"ca"`
	Certificate *string `json:"certificate"`
	Key         *string `json:"key"`
}

// Batch is what one codec is for.
type Batch struct {
	Codec   string
	Records []Record
}

// Record keeps Kafka's null apart from the empty text.
type Record struct {
	Codec   string       `json:"codec,omitempty"`
	Key     *string      `json:"key"`
	Value   *string      `json:"value"`
	Headers [][2]*string `json:"headers"`
}

// Outcome is what a step found.
type Outcome map[string]any

// Step is one part of the script.
type Step func(context.Context, *Scene) (Outcome, error)

// Play does the steps that the scene asks for and prints what they found; it ends the process at the first failure.
func Play(steps map[string]Step) {
	log.SetFlags(0)
	var s Scene
	if err := json.Unmarshal([]byte(os.Args[1]), &s); err != nil {
		log.Fatalf("argument: %v", err)
	}
	s.readScript()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()

	out := json.NewEncoder(os.Stdout)
	for _, name := range s.Steps {
		step, known := steps[name]
		if !known {
			log.Fatalf("%s is not played here", name)
		}
		outcome, err := step(ctx, &s)
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		if outcome == nil {
			outcome = Outcome{}
		}
		outcome["step"] = name
		if err := out.Encode(outcome); err != nil {
			log.Fatal(err)
		}
	}
}

// The records by codec, in the order the codecs came.
func (s *Scene) readScript() {
	at := map[string]int{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			log.Fatalf("standard input: %v", err)
		}
		if _, known := at[r.Codec]; !known {
			at[r.Codec] = len(s.Script)
			s.Script = append(s.Script, Batch{Codec: r.Codec})
		}
		batch := &s.Script[at[r.Codec]]
		batch.Records = append(batch.Records, r)
	}
}

// Count is how many records there are in all.
func (s *Scene) Count() int {
	count := 0
	for _, batch := range s.Script {
		count += len(batch.Records)
	}
	return count
}

// TransactionTopic is the topic that transactions write to, and the transactional id with it.
func (s *Scene) TransactionTopic() string {
	return s.Topic + "-transactions"
}

// TLSConfig is nil for plaintext.
func (s *Scene) TLSConfig() (*tls.Config, error) {
	if s.TLS == nil {
		return nil, nil
	}
	pem, err := os.ReadFile(s.TLS.CA)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", s.TLS.CA)
	}
	if s.TLS.Certificate != nil {
		own, err := tls.LoadX509KeyPair(*s.TLS.Certificate, *s.TLS.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

// Bytes are what a client sends of a text or null.
func Bytes(text *string) []byte {
	if text == nil {
		return nil
	}
	return append([]byte{}, *text...)
}

// Text is the way back.
func Text(data []byte) *string {
	if data == nil {
		return nil
	}
	text := string(data)
	return &text
}
