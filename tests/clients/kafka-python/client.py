"""Plays the scene of loadtest/src/clients with kafka-python.

One argument, a JSON object: bootstrap, client_id, login, tls, topic, partitions, replication, group, steps. The login is
null or an object: mechanism, user, password. Standard input: one JSON record per line with the codec to send it under.
Standard output: one JSON object per step, in their order.
"""

import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from scene import IN_TRANSACTION, LIMIT_S, decoded, encoded, play


def config_of(scene):
    login, tls = scene["login"], scene["tls"]
    config = {"bootstrap_servers": scene["bootstrap"].split(","), "client_id": scene["client_id"]}
    config["security_protocol"] = ("SASL_" if login else "") + ("SSL" if tls else "PLAINTEXT")
    if tls is not None:
        config |= {"ssl_cafile": tls["ca"], "ssl_certfile": tls["certificate"], "ssl_keyfile": tls["key"]}
    if login is not None:
        config |= {
            "sasl_mechanism": login["mechanism"],
            "sasl_plain_username": login["user"],
            "sasl_plain_password": login["password"],
        }
    return config


def create_topic(scene, topic):
    new = {topic: {"num_partitions": scene["partitions"], "replication_factor": scene["replication"]}}
    with_admin(scene, lambda admin: admin.create_topics(new, wait_for_metadata=True))


def with_admin(scene, ask):
    admin = KafkaAdminClient(**scene["config"])
    try:
        return ask(admin)
    finally:
        admin.close()


def create(scene):
    create_topic(scene, scene["topic"])
    return {}


def produce(scene):
    for codec, records in scene["script"].items():
        with KafkaProducer(**scene["config"], compression_type=None if codec == "none" else codec, linger_ms=20) as producer:
            sent = [
                producer.send(
                    scene["topic"],
                    key=encoded(record["key"]),
                    value=encoded(record["value"]),
                    headers=[(name, encoded(value)) for name, value in record["headers"]],
                )
                for record in records
            ]
            producer.flush(LIMIT_S)
            for future in sent:
                future.get(LIMIT_S)
    return {}


def consumer_of(scene, group, **settings):
    base = {"group_id": group, "auto_offset_reset": "earliest", "enable_auto_commit": False}
    return KafkaConsumer(**scene["config"], **base, **settings)


def read(consumer, count):
    records, deadline = [], time.monotonic() + LIMIT_S
    while len(records) < count:
        if time.monotonic() > deadline:
            sys.exit(f"{len(records)} of {count} records read in {LIMIT_S} s")
        for batch in consumer.poll(timeout_ms=1000).values():
            records += batch
    return records


def record_of(record):
    headers = [[name, decoded(value)] for name, value in record.headers]
    return {"key": decoded(record.key), "value": decoded(record.value), "headers": headers}


def consume(scene):
    consumer = consumer_of(scene, scene["group"])
    consumer.subscribe([scene["topic"]])
    records = read(consumer, scene["count"])
    consumer.commit()
    consumer.close()
    return {"records": [record_of(r) for r in records]}


def seek(scene):
    consumer = consumer_of(scene, scene["group"])
    partitions = [TopicPartition(scene["topic"], p) for p in range(scene["partitions"])]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    read(consumer, scene["count"])
    for partition in partitions:
        consumer.seek(partition, 0)
    records = read(consumer, scene["count"])
    consumer.close()
    return {"records": [record_of(r) for r in records]}


def transaction(scene):
    topic = scene["topic"] + "-transactions"
    create_topic(scene, topic)
    with KafkaProducer(**scene["config"], transactional_id=topic) as producer:
        producer.init_transactions()
        for word, end in [("aborted", producer.abort_transaction), ("committed", producer.commit_transaction)]:
            producer.begin_transaction()
            for n in range(IN_TRANSACTION):
                producer.send(topic, key=str(n).encode(), value=f"{word}-{n}".encode())
            # On the brokers before it ends, or an abort has nothing to take back.
            producer.flush(LIMIT_S)
            end()

    consumer = consumer_of(scene, topic, isolation_level="read_committed")
    consumer.subscribe([topic])
    values = [decoded(r.value) for r in read(consumer, IN_TRANSACTION)]
    consumer.close()
    return {"values": values}


def delete_records(scene):
    partition = TopicPartition(scene["topic"], 0)
    deleted = with_admin(scene, lambda admin: admin.delete_records({partition: 1}))
    return {"low": deleted[partition]["low_watermark"]}


def describe_topic(scene):
    (topic,) = with_admin(scene, lambda admin: admin.describe_topics([scene["topic"]]))
    return {"partitions": len(topic["partitions"])}


def describe_cluster(scene):
    cluster = with_admin(scene, lambda admin: admin.describe_cluster())
    return {"addresses": [f"{broker['host']}:{broker['port']}" for broker in cluster["brokers"]]}


def describe_configs(scene):
    resource = ConfigResource(ConfigResourceType.TOPIC, scene["topic"])
    configs = with_admin(scene, lambda admin: admin.describe_configs([resource], config_filter="all"))
    return {"cleanup.policy": configs["topic"][scene["topic"]]["cleanup.policy"]["value"]}


def describe_group(scene):
    groups = with_admin(scene, lambda admin: admin.describe_groups([scene["group"]]))
    return {"state": groups[scene["group"]]["group_state"]}


STEPS = [create, produce, consume, seek, transaction, delete_records]
STEPS += [describe_topic, describe_cluster, describe_configs, describe_group]


play(STEPS, config_of)
