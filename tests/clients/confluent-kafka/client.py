"""Plays the scene of loadtest/src/clients with librdkafka.

One argument, a JSON object: bootstrap, client_id, login, tls, topic, partitions, replication, group, steps. The login is
null or an object: mechanism, user, password, and for OAUTHBEARER the endpoint that gives tokens. Standard input: one JSON
record per line with the codec to send it under. Standard output: one JSON object per step, in their order.
"""

import os
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from scene import IN_TRANSACTION, LIMIT_S, decoded, encoded, play


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


def config_of(scene):
    config = {"bootstrap.servers": scene["bootstrap"], "client.id": scene["client_id"]}
    tls = scene["tls"]
    if tls is not None:
        config |= {"security.protocol": "SSL", "ssl.ca.location": tls["ca"]}
        if tls["certificate"] is not None:
            config |= {"ssl.certificate.location": tls["certificate"], "ssl.key.location": tls["key"]}
    return config | login_of(scene["login"], tls)


def on_error(error):
    # librdkafka would try again for as long as it is let.
    if error.code() == KafkaError._AUTHENTICATION:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)


def asked(scene, ask):
    """What one admin request gives."""
    # A name of its own: a collected client takes its pending answers with it.
    admin = AdminClient(scene["config"] | {"error_cb": on_error})
    future = ask(admin)
    if isinstance(future, dict):
        (future,) = future.values()
    while not future.done():
        admin.poll(0.1)
    return future.result()


def created(scene, topic):
    new = NewTopic(topic, scene["partitions"], scene["replication"])
    asked(scene, lambda admin: admin.create_topics([new], request_timeout=LIMIT_S))


def create(scene):
    created(scene, scene["topic"])
    return {}


def flushed(producer, undelivered):
    remaining = producer.flush(LIMIT_S)
    if remaining or undelivered:
        sys.exit(f"{remaining} records not acknowledged, errors: {undelivered}")


def produce(scene):
    for codec, records in scene["script"].items():
        undelivered = []

        def on_delivery(error, _message, undelivered=undelivered):
            if error is not None:
                undelivered.append(error)

        settings = {"compression.type": codec, "linger.ms": 20, "enable.idempotence": True}
        producer = Producer(scene["config"] | settings)
        for record in records:
            producer.produce(
                scene["topic"],
                key=encoded(record["key"]),
                value=encoded(record["value"]),
                headers=[(name, encoded(value)) for name, value in record["headers"]],
                on_delivery=on_delivery,
            )
        flushed(producer, undelivered)
    return {}


def consumer_of(scene, group, **settings):
    base = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    return Consumer(scene["config"] | base | settings)


def read(consumer, count):
    messages, deadline = [], time.monotonic() + LIMIT_S
    while len(messages) < count:
        if time.monotonic() > deadline:
            sys.exit(f"{len(messages)} of {count} records read in {LIMIT_S} s")
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        messages.append(message)
    return messages


def record_of(message):
    headers = [[name, decoded(value)] for name, value in message.headers() or []]
    return {"key": decoded(message.key()), "value": decoded(message.value()), "headers": headers}


def consume(scene):
    consumer = consumer_of(scene, scene["group"])
    consumer.subscribe([scene["topic"]])
    messages = read(consumer, scene["count"])
    consumer.commit(asynchronous=False)
    consumer.close()
    return {"records": [record_of(m) for m in messages]}


def seek(scene):
    consumer = consumer_of(scene, scene["group"])
    starts = [TopicPartition(scene["topic"], p, 0) for p in range(scene["partitions"])]
    consumer.assign(starts)
    read(consumer, scene["count"])
    for start in starts:
        consumer.seek(start)
    messages = read(consumer, scene["count"])
    consumer.close()
    return {"records": [record_of(m) for m in messages]}


def transaction(scene):
    topic = scene["topic"] + "-transactions"
    created(scene, topic)
    producer = Producer(scene["config"] | {"transactional.id": topic})
    producer.init_transactions(LIMIT_S)
    for word, end in [("aborted", producer.abort_transaction), ("committed", producer.commit_transaction)]:
        producer.begin_transaction()
        for n in range(IN_TRANSACTION):
            producer.produce(topic, key=str(n).encode(), value=f"{word}-{n}".encode())
        # On the brokers before it ends, or an abort has nothing to take back.
        flushed(producer, [])
        end(LIMIT_S)

    consumer = consumer_of(scene, topic, **{"isolation.level": "read_committed"})
    consumer.subscribe([topic])
    values = [decoded(m.value()) for m in read(consumer, IN_TRANSACTION)]
    consumer.close()
    return {"values": values}


def delete_records(scene):
    before = TopicPartition(scene["topic"], 0, 1)
    return {"low": asked(scene, lambda admin: admin.delete_records([before])).low_watermark}


def describe_topic(scene):
    topics = TopicCollection([scene["topic"]])
    topic = asked(scene, lambda admin: admin.describe_topics(topics))
    nodes = {f"{node.host}:{node.port}" for p in topic.partitions for node in [p.leader, *p.replicas, *p.isr]}
    return {"partitions": len(topic.partitions), "addresses": sorted(nodes)}


def describe_cluster(scene):
    cluster = asked(scene, lambda admin: admin.describe_cluster())
    return {"addresses": [f"{node.host}:{node.port}" for node in [*cluster.nodes, cluster.controller]]}


def describe_configs(scene):
    topic = ConfigResource(ResourceType.TOPIC, scene["topic"])
    configs = asked(scene, lambda admin: admin.describe_configs([topic]))
    return {"cleanup.policy": configs["cleanup.policy"].value}


def describe_group(scene):
    group = asked(scene, lambda admin: admin.describe_consumer_groups([scene["group"]]))
    return {"state": group.state.name, "addresses": [f"{group.coordinator.host}:{group.coordinator.port}"]}


STEPS = [create, produce, consume, seek, transaction, delete_records]
STEPS += [describe_topic, describe_cluster, describe_configs, describe_group]


play(STEPS, config_of)
