"""Keeps librdkafka at work for loadtest/src/stream/, or reads a topic as it is stored.

Arguments are name=value. `mode=stream`: produces `rate` records a second of `value_bytes` bytes to `topic` (idempotent, acks
from all) as producer number `producer`, and reads the topic with `members` members of `group`, until the files
`stop-producing` and `stop-consuming` are in `folder`; with `admin=true` it creates topics all the while. `mode=read`: reads
every partition from its first to its last offset, without a group.

Reports are lines in `folder`: NAME.produced holds `partition sequence hash` of what was acknowledged, NAME.consumed holds
`partition offset producer sequence hash` of what was read, NAME.errors what librdkafka called an error, NAME.created the
topics that were made. NAME.done comes when all that was sent is acknowledged.
"""

import hashlib
import os
import random
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PADDING = random.Random(1).randbytes(1 << 17)
TICK_S = 0.02
FLUSH_LIMIT_S = 170


def hash_of(value):
    return hashlib.sha256(value).hexdigest()[:16]


class Report:
    """Lines in a file, on the disk within a moment."""

    def __init__(self, path):
        self.file = open(path, "a", buffering=1 << 16)
        self.lock = threading.Lock()
        self.flushed = time.monotonic()

    def write(self, line):
        with self.lock:
            self.file.write(line + "\n")

    def flush(self):
        with self.lock:
            self.file.flush()


class Work:
    def __init__(self, arguments):
        self.arguments = arguments
        self.topic = arguments["topic"]
        self.partitions = int(arguments["partitions"])
        self.name = arguments["name"]
        self.errors = self.report("errors")
        self.consumed = self.report("consumed")
        self.produced = self.report("produced")
        self.config = {
            "bootstrap.servers": arguments["bootstrap"],
            "client.id": self.name,
            "error_cb": self.on_error,
            "socket.timeout.ms": 10_000,
            "reconnect.backoff.max.ms": 1_000,
        }

    def path(self, suffix):
        return os.path.join(self.arguments["folder"], f"{self.name}.{suffix}")

    def report(self, suffix):
        return Report(self.path(suffix))

    def asked_to(self, what):
        return os.path.exists(os.path.join(self.arguments["folder"], what))

    def on_error(self, error):
        self.errors.write(f"client {error.name()} {error}")
        self.errors.flush()

    def read_by(self, message):
        value = message.value()
        producer, sequence, _ = value.split(b":", 2)
        line = f"{message.partition()} {message.offset()} {int(producer)} {int(sequence)} {hash_of(value)}"
        self.consumed.write(line)

    def on_delivery(self, error, message):
        value = message.value()
        sequence = int(value.split(b":", 2)[1])
        if error is None:
            self.produced.write(f"{message.partition()} {sequence} {hash_of(value)}")
        else:
            self.errors.write(f"delivery {error.name()} {error} (record {sequence})")

    def produce(self):
        settings = {"enable.idempotence": True, "linger.ms": 10, "request.timeout.ms": 5_000}
        settings |= {"compression.type": self.arguments["codec"], "message.timeout.ms": 170_000}
        producer = Producer(self.config | settings)
        number, rate, size = int(self.arguments["producer"]), int(self.arguments["rate"]), int(self.arguments["value_bytes"])
        sequence, started = 0, time.monotonic()
        while not self.asked_to("stop-producing"):
            due = int((time.monotonic() - started) * rate)
            # What could not be sent in time is not made up for at once: a stream, no flood.
            if due - sequence > rate:
                started, due = started + (due - sequence) / rate, sequence
            while sequence < due:
                head = b"%d:%d:" % (number, sequence)
                at = sequence * 7919 % 65536
                value = head + PADDING[at : at + size - len(head)]
                try:
                    producer.produce(self.topic, value=value, partition=sequence % self.partitions, on_delivery=self.on_delivery)
                except BufferError:
                    break
                sequence += 1
            producer.poll(TICK_S)
            self.produced.flush()
        remaining = producer.flush(FLUSH_LIMIT_S)
        self.produced.flush()
        self.errors.flush()
        with open(self.path("done"), "w") as done:
            done.write(f"{sequence} {remaining}\n")

    def consume(self):
        settings = {"group.id": self.arguments["group"], "auto.offset.reset": "earliest", "auto.commit.interval.ms": 1_000}
        consumer = Consumer(self.config | settings)
        consumer.subscribe([self.topic])
        while not self.asked_to("stop-consuming"):
            for message in consumer.consume(500, 0.2):
                if message.error():
                    self.errors.write(f"consumer {message.error().name()} {message.error()}")
                else:
                    self.read_by(message)
            self.consumed.flush()
        consumer.close()

    def administer(self):
        created = self.report("created")
        # Without topics of its own librdkafka asks for a new controller at this pace alone, every five minutes by default.
        admin = AdminClient(self.config | {"topic.metadata.refresh.interval.ms": 5_000})
        number = 0
        while not self.asked_to("stop-producing"):
            name = f"{self.topic}-{self.name}-{number}"
            future = admin.create_topics([NewTopic(name, 1)], request_timeout=10, operation_timeout=10)[name]
            while not future.done():
                admin.poll(0.05)
            error = future.exception()
            code = error.args[0].name() if isinstance(error, KafkaException) else None
            created.write(f"{name} {code or 'OK'}")
            created.flush()
            # Asked again until it is there: the answer to an earlier request may have been lost.
            if code in (None, "TOPIC_ALREADY_EXISTS"):
                number += 1
            time.sleep(0.1)

    def read_all(self):
        consumer = Consumer(self.config | {"group.id": "none", "enable.auto.commit": False, "enable.partition.eof": False})
        ends = {}
        for partition in range(self.partitions):
            first, end = consumer.get_watermark_offsets(TopicPartition(self.topic, partition), 60)
            if end > first:
                ends[partition] = end
        consumer.assign([TopicPartition(self.topic, partition, 0) for partition in ends])
        while ends:
            for message in consumer.consume(1000, 1.0):
                if message.error():
                    raise KafkaException(message.error())
                if message.offset() < ends.get(message.partition(), 0):
                    self.read_by(message)
            for place in consumer.position([TopicPartition(self.topic, partition) for partition in ends]):
                if place.offset >= ends[place.partition]:
                    del ends[place.partition]
        self.consumed.flush()
        consumer.close()

    def stream(self):
        threads = [threading.Thread(target=self.consume) for _ in range(int(self.arguments["members"]))]
        threads.append(threading.Thread(target=self.produce))
        if self.arguments["admin"] == "true":
            threads.append(threading.Thread(target=self.administer))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.errors.flush()


def die(failed):
    sys.__excepthook__(failed.exc_type, failed.exc_value, failed.exc_traceback)
    sys.stderr.flush()
    os._exit(1)


threading.excepthook = die
work = Work(dict(argument.split("=", 1) for argument in sys.argv[1:]))
work.read_all() if work.arguments["mode"] == "read" else work.stream()
