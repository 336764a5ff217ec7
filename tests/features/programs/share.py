"""Two share consumers of one group read a topic to its end (librdkafka); tells which values were accepted and released.

Scene: bootstrap, topic, group, mode (implicit or explicit), records. In explicit mode the value 0 is released when it first
comes, and accepted when it comes again.
"""

import json
import sys
import time

from confluent_kafka import AcknowledgeType, ShareConsumer

LIMIT_S = 60


def main():
    scene = json.loads(sys.argv[1])
    explicit = scene["mode"] == "explicit"
    config = {
        "bootstrap.servers": scene["bootstrap"],
        "client.id": scene["group"],
        "group.id": scene["group"],
        "share.acknowledgement.mode": scene["mode"],
    }
    consumers = [ShareConsumer(config), ShareConsumer(config)]
    for consumer in consumers:
        consumer.subscribe([scene["topic"]])
    accepted, released, deadline = [], [], time.monotonic() + LIMIT_S
    while len(accepted) < scene["records"]:
        if time.monotonic() > deadline:
            sys.exit(f"{len(accepted)} records accepted in {LIMIT_S} s")
        for consumer in consumers:
            for message in consumer.poll(0.3):
                if message.error() is not None:
                    sys.exit(str(message.error()))
                value = message.value().decode()
                if explicit and value == "0" and not released:
                    released.append(value)
                    consumer.acknowledge(message, AcknowledgeType.RELEASE)
                    continue
                accepted.append(value)
                if explicit:
                    consumer.acknowledge(message, AcknowledgeType.ACCEPT)
            failed = [error for error in consumer.commit_sync(10.0).values() if error is not None]
            if failed:
                sys.exit(str(failed))
    for consumer in consumers:
        consumer.close()
    print(json.dumps({"accepted": sorted(accepted, key=int), "released": released}))


main()
