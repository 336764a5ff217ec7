"""Two consumers of one group: the first alone, both together, the first alone again (librdkafka).

Scene: bootstrap, topic, group, strategy, protocol (classic or consumer), expected, gate. Steps: alone, together, alone again.
At its end it prints which values were read, and how many partitions were taken from the first when the second came.
"""

import json
import sys
import time

from confluent_kafka import Consumer
from gate import step

LIMIT_S = 60
PARTITIONS = 4


class Member:
    def __init__(self, scene, read):
        config = {
            "bootstrap.servers": scene["bootstrap"],
            "client.id": scene["group"],
            "group.id": scene["group"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        if scene["protocol"] == "consumer":
            config |= {"group.protocol": "consumer", "group.remote.assignor": scene["strategy"]}
        else:
            config |= {
                "partition.assignment.strategy": scene["strategy"],
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 200,
            }
        self.read, self.taken, self.moved_on = read, 0, False
        # Librdkafka's own fetching back-off would only cost time.
        self.consumer = Consumer(config | {"fetch.wait.max.ms": 50})
        self.consumer.subscribe([scene["topic"]], on_revoke=self.on_revoke)

    def on_revoke(self, _consumer, partitions):
        self.taken += len(partitions)

    def owns(self):
        return len(self.consumer.assignment())

    def poll(self):
        message = self.consumer.poll(0.05)
        if message is None:
            return
        if message.error() is not None:
            sys.exit(str(message.error()))
        self.read.append(message.value().decode())
        self.consumer.commit(message=message, asynchronous=False)


def main():
    scene = json.loads(sys.argv[1])
    read, members = [], []
    deadline = time.monotonic() + LIMIT_S

    def until(reached):
        while not reached():
            if time.monotonic() > deadline:
                sys.exit(f"has {[m.owns() for m in members]}, read {len(read)}")
            for member in members:
                member.poll()

    def stage(name, owned):
        seen = len(read)
        until(lambda: [m.owns() for m in members] == owned)
        step(scene["gate"], name)
        until(lambda: len(read) >= seen + scene["expected"] // 3)

    members.append(Member(scene, read))
    stage("alone", [PARTITIONS])
    before = members[0].taken
    members.append(Member(scene, read))
    stage("together", [PARTITIONS // 2, PARTITIONS // 2])
    taken = members[0].taken - before
    members.pop().consumer.close()
    stage("alone again", [PARTITIONS])
    members[0].consumer.close()
    print(json.dumps({"read": read, "taken": taken}), flush=True)


main()
