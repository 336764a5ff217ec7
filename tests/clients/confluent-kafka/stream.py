"""Keeps librdkafka's producer and consumer at work for loadtest/src/stream/; see tests/clients/scene/flow.py.

`mode=stream` is what all such programs do; with `admin=true` it creates topics all the while, and NAME.created holds what
became of them. `mode=read`: reads every partition from its first to its last offset, without a group.
"""

import os
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from flow import DELIVERY_MS, TICK_S, Flow, Pace


class Work(Flow):
    def __init__(self):
        super().__init__()
        self.config = {
            "bootstrap.servers": self.bootstrap,
            "client.id": self.name,
            "error_cb": lambda error: self.was_told("client", error.name(), error),
            "socket.timeout.ms": 10_000,
            "reconnect.backoff.max.ms": 1_000,
        }

    def on_delivery(self, error, message):
        if error is None:
            self.was_acknowledged(message.partition(), message.value())
        else:
            self.was_told("delivery", error.name(), f"{error} ({message.value()[:40]})")

    def produce(self):
        settings = {"enable.idempotence": True, "linger.ms": 10, "request.timeout.ms": 5_000}
        settings |= {"compression.type": self.arguments["codec"], "message.timeout.ms": DELIVERY_MS}
        producer = Producer(self.config | settings)
        sequence, pace = 0, Pace(self.number("rate"))
        while not self.asked_to("stop-producing"):
            due = pace.due(sequence)
            while sequence < due:
                try:
                    place = {"partition": sequence % self.partitions, "on_delivery": self.on_delivery}
                    producer.produce(self.topic, value=self.value(sequence), **place)
                except BufferError:
                    break
                sequence += 1
            producer.poll(TICK_S)
            self.produced.flush()
        self.is_done(sequence, producer.flush(DELIVERY_MS / 1000))

    def consume(self):
        settings = {"group.id": self.arguments["group"], "auto.offset.reset": "earliest", "auto.commit.interval.ms": 1_000}
        consumer = Consumer(self.config | settings)
        consumer.subscribe([self.topic])
        while not self.asked_to("stop-consuming"):
            for message in consumer.consume(500, 0.2):
                if message.error():
                    self.was_told("consumer", message.error().name(), message.error())
                else:
                    self.was_read(message.partition(), message.offset(), message.value())
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
                    self.was_read(message.partition(), message.offset(), message.value())
            for place in consumer.position([TopicPartition(self.topic, partition) for partition in ends]):
                if place.offset >= ends[place.partition]:
                    del ends[place.partition]
        self.consumed.flush()
        consumer.close()

    def stream(self):
        threads = [threading.Thread(target=self.consume) for _ in range(self.number("members"))]
        threads.append(threading.Thread(target=self.produce))
        if self.arguments["admin"] == "true":
            threads.append(threading.Thread(target=self.administer))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def die(failed):
    sys.__excepthook__(failed.exc_type, failed.exc_value, failed.exc_traceback)
    sys.stderr.flush()
    os._exit(1)


threading.excepthook = die
work = Work()
work.read_all() if work.arguments["mode"] == "read" else work.stream()
