"""Writes numbers in one transaction, half of them before its first step, half after (librdkafka).

Scene: bootstrap, topic, transactional_id, half, gate. Steps: open, with half of the records stored; sent, with all of them.
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
    producer = Producer(
        {
            "bootstrap.servers": scene["bootstrap"],
            "client.id": scene["transactional_id"],
            "transactional.id": scene["transactional_id"],
            "transaction.timeout.ms": 300000,
            "linger.ms": 0,
            "reconnect.backoff.max.ms": 500,
        }
    )

    def write(numbers):
        for number in numbers:
            producer.produce(
                scene["topic"], value=str(number), partition=0, on_delivery=lambda e, _: failed.append(e) if e else None
            )
        if producer.flush(LIMIT_S) or failed:
            sys.exit(f"not stored: {failed}")

    producer.init_transactions(LIMIT_S)
    producer.begin_transaction()
    write(range(scene["half"]))
    step(scene["gate"], "open")
    write(range(scene["half"], 2 * scene["half"]))
    step(scene["gate"], "sent")
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
