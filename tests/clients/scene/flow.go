package scene

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"log"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Tick is how often a stream looks at what is due and at what it is asked to.
const Tick = 20 * time.Millisecond

// DeliveryLimit is longer than any fault that a test makes.
const DeliveryLimit = 170 * time.Second

// Flow is what a program is told that keeps a stream of records flowing for loadtest/src/stream/, and its reports. Both
// are described in flow.py.
type Flow struct {
	Bootstrap, Topic, Name, Group, Codec      string
	Partitions, Producer, Members, Rate, size int
	folder                                    string
	padding                                   []byte
	produced, consumed, errors                *report
}

type report struct {
	sync.Mutex
	lines *bufio.Writer
}

func (r *report) write(format string, values ...any) {
	r.Lock()
	defer r.Unlock()
	fmt.Fprintf(r.lines, format+"\n", values...)
}

func (r *report) flush() {
	r.Lock()
	defer r.Unlock()
	if err := r.lines.Flush(); err != nil {
		log.Fatal(err)
	}
}

// ReadFlow reads the arguments and opens the reports.
func ReadFlow() *Flow {
	told := map[string]string{}
	for _, argument := range os.Args[1:] {
		name, value, _ := strings.Cut(argument, "=")
		told[name] = value
	}
	number := func(name string) int {
		n, err := strconv.Atoi(told[name])
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		return n
	}
	f := &Flow{
		Bootstrap: told["bootstrap"], Topic: told["topic"], Name: told["name"], Group: told["group"], Codec: told["codec"],
		Partitions: number("partitions"), Producer: number("producer"), Members: number("members"), Rate: number("rate"),
		size: number("value_bytes"), folder: told["folder"], padding: make([]byte, 1<<17),
	}
	rand.New(rand.NewSource(1)).Read(f.padding)
	f.produced, f.consumed, f.errors = f.report("produced"), f.report("consumed"), f.report("errors")
	return f
}

func (f *Flow) path(suffix string) string { return filepath.Join(f.folder, f.Name+"."+suffix) }

func (f *Flow) report(suffix string) *report {
	file, err := os.OpenFile(f.path(suffix), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	return &report{lines: bufio.NewWriterSize(file, 1<<16)}
}

// AskedTo says whether a file of this name is there.
func (f *Flow) AskedTo(what string) bool {
	_, err := os.Stat(filepath.Join(f.folder, what))
	return err == nil
}

// Value is the value of a record.
func (f *Flow) Value(sequence int) []byte {
	value := fmt.Appendf(nil, "%d:%d:", f.Producer, sequence)
	at := sequence * 7919 % 65536
	return append(value, f.padding[at:at+f.size-len(value)]...)
}

// Acknowledged reports that a record is stored.
func (f *Flow) Acknowledged(partition int32, value []byte) {
	head := bytes.SplitN(value, []byte(":"), 3)
	f.produced.write("%d %s %s", partition, head[1], hash(value))
}

// Read reports a record that was read.
func (f *Flow) Read(partition int32, offset int64, value []byte) {
	head := bytes.SplitN(value, []byte(":"), 3)
	f.consumed.write("%d %d %s %s %s", partition, offset, head[0], head[1], hash(value))
}

// Told reports an error by its name and words.
func (f *Flow) Told(place, name string, words error) {
	f.errors.write("%s %s %s", place, name, strings.Join(strings.Fields(words.Error()), " "))
	f.errors.flush()
}

// Flush brings what was read and acknowledged to the disk.
func (f *Flow) Flush() {
	f.produced.flush()
	f.consumed.flush()
}

// Done reports that nothing more is sent.
func (f *Flow) Done(sent int) {
	f.Flush()
	if err := os.WriteFile(f.path("done"), fmt.Appendf(nil, "%d 0\n", sent), 0o644); err != nil {
		log.Fatal(err)
	}
}

// Produce calls send with the number of each record as it comes due, until asked to stop; how many there were.
func (f *Flow) Produce(send func(sequence int)) int {
	sent, started := 0, time.Now()
	for !f.AskedTo("stop-producing") {
		due := int(time.Since(started).Seconds() * float64(f.Rate))
		// What could not be sent in time is not made up for at once: a stream, no flood.
		if due-sent > f.Rate {
			started = started.Add(time.Duration(due-sent) * time.Second / time.Duration(f.Rate))
			due = sent
		}
		for ; sent < due; sent++ {
			send(sent)
		}
		time.Sleep(Tick)
		f.Flush()
	}
	return sent
}

func hash(value []byte) string { return fmt.Sprintf("%x", sha256.Sum256(value))[:16] }
