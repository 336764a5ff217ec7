"""Writes numbers as an idempotent producer, slowly enough for something to happen meanwhile (librdkafka).

Scene: bootstrap, topic, records, gate. Step: begun, with the first records stored.
"""

import json
import sys
import time

from confluent_kafka import Producer
from gate import step

LIMIT_S = 60
FIRST = 100


def main():
    scene = json.loads(sys.argv[1])
    failed = []
    producer = Producer(
        {
            "bootstrap.servers": scene["bootstrap"],
            "client.id": scene["topic"],
            "enable.idempotence": True,
            "linger.ms": 1,
            "reconnect.backoff.max.ms": 200,
        }
    )

    def write(number):
        producer.produce(
            scene["topic"], value=str(number), partition=0, on_delivery=lambda e, _: failed.append(e) if e else None
        )
        producer.poll(0)

    for number in range(FIRST):
        write(number)
    producer.flush(LIMIT_S)
    step(scene["gate"], "begun")
    for number in range(FIRST, scene["records"]):
        write(number)
        time.sleep(0.0005)
    if producer.flush(LIMIT_S) or failed:
        sys.exit(f"not stored: {failed[:3]}")


main()
