"""Consumes, transforms and produces in transactions of five records (librdkafka).

Scene: bootstrap, source, sink, group, transactional_id, crash_after. With `crash_after` it dies as if killed after so many
transactions, its next one open on the brokers; without, it ends when it has come to the end of the source.
"""

import json
import os
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition

LIMIT_S = 60
BATCH = 5


def main():
    scene = json.loads(sys.argv[1])
    base = {"bootstrap.servers": scene["bootstrap"], "client.id": "transform"}
    consumer = Consumer(
        base
        | {
            "group.id": scene["group"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "session.timeout.ms": 6000,
        }
    )
    producer = Producer(base | {"transactional.id": scene["transactional_id"], "linger.ms": 0})
    # The newest of this id: what an earlier one left open is aborted here.
    producer.init_transactions(LIMIT_S)
    # No subscription: the group of one that was killed would be waited for.
    partition = TopicPartition(scene["source"], 0)
    committed = consumer.committed([partition], LIMIT_S)[0].offset
    partition.offset = max(committed, 0)
    consumer.assign([partition])
    _, end = consumer.get_watermark_offsets(partition, LIMIT_S)
    position, transactions, deadline = partition.offset, 0, time.monotonic() + LIMIT_S
    while position < end:
        messages = []
        while len(messages) < BATCH:
            if time.monotonic() > deadline:
                sys.exit(f"at {position} of {end} after {LIMIT_S} s")
            message = consumer.poll(1.0)
            if message is not None and message.error() is None:
                messages.append(message)
        producer.begin_transaction()
        for message in messages:
            producer.produce(scene["sink"], value=message.value() + b"!")
        producer.flush(LIMIT_S)
        position = messages[-1].offset() + 1
        offsets = [TopicPartition(scene["source"], 0, position)]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), LIMIT_S)
        if transactions == scene["crash_after"]:
            os._exit(9)
        producer.commit_transaction(LIMIT_S)
        transactions += 1
    consumer.close()


main()
