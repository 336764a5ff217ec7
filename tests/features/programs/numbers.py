"""Writes numbers as an idempotent producer, or in one transaction where the scene names one (librdkafka).

Scene: bootstrap, topic, first, records, gate, and transactional_id or pause_s, the time between two records after the
first ones. Steps: begun, with the first records stored; in a transaction also sent, with all of them.
"""

import json
import sys
import time

from confluent_kafka import KafkaException, Producer
from gate import step

LIMIT_S = 80


def main():
    scene = json.loads(sys.argv[1])
    failed = []
    transaction = scene.get("transactional_id")
    settings = {
        "bootstrap.servers": scene["bootstrap"],
        "client.id": scene["topic"],
        "enable.idempotence": True,
        "linger.ms": 1,
        "reconnect.backoff.max.ms": 200,
    }
    if transaction:
        settings |= {"transactional.id": transaction, "transaction.timeout.ms": 300000}
    producer = Producer(settings)

    def write(numbers, pause_s):
        for number in numbers:
            producer.produce(
                scene["topic"], value=str(number), partition=0, on_delivery=lambda e, _: failed.append(e) if e else None
            )
            producer.poll(0)
            time.sleep(pause_s)
        if producer.flush(LIMIT_S) or failed:
            sys.exit(f"not stored: {failed[:3]}")

    if transaction:
        producer.init_transactions(LIMIT_S)
        producer.begin_transaction()
    write(range(scene["first"]), 0)
    step(scene["gate"], "begun")
    write(range(scene["first"], scene["records"]), scene.get("pause_s", 0))
    if transaction:
        step(scene["gate"], "sent")
        commit(producer)


def commit(producer):
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            producer.commit_transaction(LIMIT_S)
            return
        except KafkaException as e:
            # As the client asks for: the same commit again.
            if not e.args[0].retriable() or time.monotonic() > deadline:
                raise


main()
