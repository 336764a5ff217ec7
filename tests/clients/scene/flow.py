"""What the Python programs have in common that keep a stream of records flowing for loadtest/src/stream/.

Arguments are name=value. Such a program produces `rate` records a second of `value_bytes` bytes to `topic` under `codec`
(idempotent, acks from all) as producer number `producer`, and reads the topic with `members` members of `group`, until the
files `stop-producing` and `stop-consuming` are in `folder`.

Reports are lines in `folder`: NAME.produced holds `partition sequence hash` of what was acknowledged, NAME.consumed holds
`partition offset producer sequence hash` of what was read, NAME.errors `place ERROR words` of what the client called an
error. NAME.done comes when all that was sent is acknowledged.
"""

import hashlib
import os
import random
import sys
import threading
import time

PADDING = random.Random(1).randbytes(1 << 17)
TICK_S = 0.02
# The clients' own limit on a delivery, longer than any fault that a test makes.
DELIVERY_MS = 170_000


def hash_of(value):
    return hashlib.sha256(value).hexdigest()[:16]


class Report:
    """Lines in a file, on the disk within a moment."""

    def __init__(self, path):
        self.file = open(path, "a", buffering=1 << 16)
        self.lock = threading.Lock()

    def write(self, line):
        with self.lock:
            self.file.write(line + "\n")

    def flush(self):
        with self.lock:
            self.file.flush()


class Pace:
    """How many records should have been sent by now."""

    def __init__(self, rate):
        self.rate, self.started = rate, time.monotonic()

    def due(self, sent):
        due = int((time.monotonic() - self.started) * self.rate)
        # What could not be sent in time is not made up for at once: a stream, no flood.
        if due - sent > self.rate:
            self.started += (due - sent) / self.rate
            return sent
        return due


class Flow:
    """What the program is told, and its reports."""

    def __init__(self):
        self.arguments = dict(argument.split("=", 1) for argument in sys.argv[1:])
        self.bootstrap, self.topic = self.arguments["bootstrap"], self.arguments["topic"]
        self.name, self.partitions = self.arguments["name"], int(self.arguments["partitions"])
        self.errors, self.consumed, self.produced = map(self.report, ["errors", "consumed", "produced"])

    def number(self, name):
        return int(self.arguments[name])

    def path(self, suffix):
        return os.path.join(self.arguments["folder"], f"{self.name}.{suffix}")

    def report(self, suffix):
        return Report(self.path(suffix))

    def asked_to(self, what):
        return os.path.exists(os.path.join(self.arguments["folder"], what))

    def value(self, sequence):
        head = b"%d:%d:" % (self.number("producer"), sequence)
        at = sequence * 7919 % 65536
        return head + PADDING[at : at + self.number("value_bytes") - len(head)]

    def was_acknowledged(self, partition, value):
        sequence = int(value.split(b":", 2)[1])
        self.produced.write(f"{partition} {sequence} {hash_of(value)}")

    def was_read(self, partition, offset, value):
        producer, sequence, _ = value.split(b":", 2)
        self.consumed.write(f"{partition} {offset} {int(producer)} {int(sequence)} {hash_of(value)}")

    def was_told(self, place, name, words):
        # A line each, whatever a client has to say.
        self.errors.write(f"{place} {name} {' '.join(str(words).split())}")
        self.errors.flush()

    def is_done(self, sent, remaining):
        self.produced.flush()
        with open(self.path("done"), "w") as done:
            done.write(f"{sent} {remaining}\n")
