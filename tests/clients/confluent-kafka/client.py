"""Plays the scene of loadtest/src/clients.rs with librdkafka.

One argument, a JSON object: bootstrap, client_id, login, tls, topic, partitions, group. The login is null or an object:
mechanism, user, password, and for OAUTHBEARER the endpoint that gives tokens. Standard input: one JSON record per line
with the codec to send it under. Standard output: what the group read, one JSON record per line.
"""

import json
import os
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

LIMIT_S = 60


def encoded(text):
    return None if text is None else text.encode()


def decoded(data):
    return None if data is None else data.decode()


def login_of(login, tls):
    if login is None:
        return {}
    config = {"security.protocol": "SASL_PLAINTEXT" if tls is None else "SASL_SSL", "sasl.mechanism": login["mechanism"]}
    if login["mechanism"] == "OAUTHBEARER":
        return config | {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": login["endpoint"],
            "sasl.oauthbearer.client.id": login["user"],
            "sasl.oauthbearer.client.secret": login["password"],
        }
    return config | {"sasl.username": login["user"], "sasl.password": login["password"]}


def on_error(error):
    # librdkafka would try again for as long as it is let.
    if error.code() == KafkaError._AUTHENTICATION:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)


def create_topic(config, topic, partitions):
    # A name of its own: a collected client takes its pending answers with it.
    admin = AdminClient(config | {"error_cb": on_error})
    created = admin.create_topics([NewTopic(topic, partitions, 1)], request_timeout=LIMIT_S)[topic]
    while not created.done():
        admin.poll(0.1)
    created.result()


def produce(config, topic, codec, records):
    undelivered = []

    def on_delivery(error, _message):
        if error is not None:
            undelivered.append(error)

    producer = Producer(config | {"compression.type": codec, "linger.ms": 20, "enable.idempotence": True})
    for record in records:
        producer.produce(
            topic,
            key=encoded(record["key"]),
            value=encoded(record["value"]),
            headers=[(name, encoded(value)) for name, value in record["headers"]],
            on_delivery=on_delivery,
        )
    remaining = producer.flush(LIMIT_S)
    if remaining or undelivered:
        sys.exit(f"{codec}: {remaining} records not acknowledged, errors: {undelivered}")


def consume(config, topic, group, expected):
    consumer = Consumer(config | {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    deadline = time.monotonic() + LIMIT_S
    read = 0
    while read < expected:
        if time.monotonic() > deadline:
            sys.exit(f"{read} of {expected} records read in {LIMIT_S} s")
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        headers = [[name, decoded(value)] for name, value in message.headers() or []]
        record = {"key": decoded(message.key()), "value": decoded(message.value()), "headers": headers}
        print(json.dumps(record))
        read += 1
    consumer.commit(asynchronous=False)
    consumer.close()


def main():
    scene = json.loads(sys.argv[1])
    config = {"bootstrap.servers": scene["bootstrap"], "client.id": scene["client_id"]}
    tls = scene.get("tls")
    if tls is not None:
        config |= {"security.protocol": "SSL", "ssl.ca.location": tls["ca"]}
        if tls["certificate"] is not None:
            config |= {"ssl.certificate.location": tls["certificate"], "ssl.key.location": tls["key"]}
    config |= login_of(scene["login"], tls)
    by_codec = {}
    for line in sys.stdin:
        record = json.loads(line)
        by_codec.setdefault(record["codec"], []).append(record)

    create_topic(config, scene["topic"], scene["partitions"])
    for codec, records in by_codec.items():
        produce(config, scene["topic"], codec, records)
    consume(config, scene["topic"], scene["group"], sum(map(len, by_codec.values())))


main()
