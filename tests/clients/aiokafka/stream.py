"""Keeps aiokafka's producer and consumer at work for loadtest/src/stream/; see tests/clients/scene/flow.py."""

import asyncio
import logging
import re

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from flow import DELIVERY_MS, TICK_S, Flow, Pace

# aiokafka names its errors as classes; those of no broker go by what librdkafka calls them.
OWN = {
    "KafkaConnectionError": "_TRANSPORT",
    "KafkaTimeoutError": "_TIMED_OUT",
    "NodeNotReadyError": "_TRANSPORT",
    "StaleMetadata": "_TRANSPORT",
}


def name_of(error):
    """`NotLeaderForPartitionError` as `NOT_LEADER_FOR_PARTITION`."""
    return OWN.get(error) or re.sub(r"(?<!^)(?=[A-Z])", "_", error.removesuffix("Error")).upper()


class Told(logging.Handler):
    """What the client warns of: errors that it retries are told nowhere else."""

    def __init__(self, flow):
        super().__init__(logging.WARNING)
        self.flow = flow

    def emit(self, record):
        words = record.getMessage()
        # A broker's errors stand behind their number, and not all of them end alike.
        for error in re.findall(r"(?<=\] )[A-Z]\w+|\b[A-Z]\w+Error\b", words):
            self.flow.was_told("log", name_of(error), words)


class Work(Flow):
    def __init__(self):
        super().__init__()
        self.config = {"bootstrap_servers": self.bootstrap, "client_id": self.name, "retry_backoff_ms": 100}
        logging.getLogger("aiokafka").addHandler(Told(self))
        # All of it, for who looks into a failure.
        logging.basicConfig(level=logging.WARNING)

    def when_delivered(self, value, partition):
        def note(delivered):
            error = delivered.exception()
            if error is None:
                self.was_acknowledged(partition, value)
            else:
                self.undelivered += 1
                self.was_told("delivery", name_of(type(error).__name__), f"{error} ({value[:40]})")

        return note

    async def produce(self):
        # One limit is for a request and for the time that a record may wait.
        settings = {"enable_idempotence": True, "acks": "all", "linger_ms": 10, "request_timeout_ms": DELIVERY_MS}
        codec, self.undelivered = self.arguments["codec"], 0
        producer = AIOKafkaProducer(compression_type=None if codec == "none" else codec, **self.config, **settings)
        await producer.start()
        sequence, pace = 0, Pace(self.number("rate"))
        while not self.asked_to("stop-producing"):
            due = pace.due(sequence)
            while sequence < due:
                value, partition = self.value(sequence), sequence % self.partitions
                delivered = await producer.send(self.topic, value=value, partition=partition)
                delivered.add_done_callback(self.when_delivered(value, partition))
                sequence += 1
            await asyncio.sleep(TICK_S)
            self.produced.flush()
        await producer.flush()
        await producer.stop()
        self.is_done(sequence, self.undelivered)

    async def consume(self):
        settings = {"group_id": self.arguments["group"], "auto_offset_reset": "earliest", "auto_commit_interval_ms": 1_000}
        consumer = AIOKafkaConsumer(self.topic, **self.config, **settings)
        await consumer.start()
        while not self.asked_to("stop-consuming"):
            try:
                batches = await consumer.getmany(timeout_ms=200)
            except KafkaError as failed:
                self.was_told("consumer", name_of(type(failed).__name__), failed)
                continue
            for records in batches.values():
                for record in records:
                    self.was_read(record.partition, record.offset, record.value)
            self.consumed.flush()
        await consumer.stop()

    async def stream(self):
        members = [self.consume() for _ in range(self.number("members"))]
        await asyncio.gather(self.produce(), *members)


asyncio.run(Work().stream())
