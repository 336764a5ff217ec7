"""Reads a partition from its beginning as a consumer in a rack, and prints the values (librdkafka).

Scene: bootstrap, client_id, topic, rack, records.
"""

import json
import sys
import time

from confluent_kafka import Consumer, TopicPartition

LIMIT_S = 60


def main():
    scene = json.loads(sys.argv[1])
    consumer = Consumer(
        {
            "bootstrap.servers": scene["bootstrap"],
            "client.id": scene["client_id"],
            "client.rack": scene["rack"],
            "group.id": "nobody",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(scene["topic"], 0, 0)])
    read, deadline = 0, time.monotonic() + LIMIT_S
    while read < scene["records"]:
        if time.monotonic() > deadline:
            sys.exit(f"{read} records in {LIMIT_S} s")
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error() is not None:
            sys.exit(str(message.error()))
        print(message.value().decode())
        read += 1
    consumer.close()


main()
