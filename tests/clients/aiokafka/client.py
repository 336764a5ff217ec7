"""Plays the scene of loadtest/src/clients with aiokafka.

One argument, a JSON object: bootstrap, client_id, login, tls, topic, partitions, replication, group, steps. The login is
null or an object: mechanism, user, password. Standard input: one JSON record per line with the codec to send it under.
Standard output: one JSON object per step, in their order.
"""

import asyncio
import ssl
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from scene import IN_TRANSACTION, LIMIT_S, decoded, encoded, given, tell


def config_of(scene):
    login, tls = scene["login"], scene["tls"]
    config = {"bootstrap_servers": scene["bootstrap"], "client_id": scene["client_id"]}
    config["security_protocol"] = ("SASL_" if login else "") + ("SSL" if tls else "PLAINTEXT")
    if tls is not None:
        config["ssl_context"] = ssl.create_default_context(cafile=tls["ca"])
        if tls["certificate"] is not None:
            config["ssl_context"].load_cert_chain(tls["certificate"], tls["key"])
    if login is not None:
        config |= {
            "sasl_mechanism": login["mechanism"],
            "sasl_plain_username": login["user"],
            "sasl_plain_password": login["password"],
        }
    return config


async def with_admin(scene, ask):
    admin = AIOKafkaAdminClient(**scene["config"])
    await admin.start()
    try:
        return await ask(admin)
    finally:
        await admin.close()


async def create_topic(scene, topic):
    new = NewTopic(topic, scene["partitions"], scene["replication"])
    answer = await with_admin(scene, lambda admin: admin.create_topics([new]))
    # It raises nothing for a topic by itself.
    for name, error_code, *message in answer.topic_errors:
        if error_code != 0:
            sys.exit(f"topic {name}: error {error_code} {message}")


async def create(scene):
    await create_topic(scene, scene["topic"])
    return {}


async def produce(scene):
    for codec, records in scene["script"].items():
        settings = {"compression_type": None if codec == "none" else codec, "linger_ms": 20, "enable_idempotence": True}
        async with AIOKafkaProducer(**scene["config"], **settings) as producer:
            sent = [
                await producer.send(
                    scene["topic"],
                    key=encoded(record["key"]),
                    value=encoded(record["value"]),
                    headers=[(name, encoded(value)) for name, value in record["headers"]],
                )
                for record in records
            ]
            await asyncio.gather(*sent)
    return {}


def consumer_of(scene, *topics, group, **settings):
    base = {"group_id": group, "auto_offset_reset": "earliest", "enable_auto_commit": False}
    return AIOKafkaConsumer(*topics, **scene["config"], **base, **settings)


async def read(consumer, count):
    return [await asyncio.wait_for(consumer.getone(), LIMIT_S) for _ in range(count)]


def record_of(record):
    headers = [[name, decoded(value)] for name, value in record.headers]
    return {"key": decoded(record.key), "value": decoded(record.value), "headers": headers}


async def consume(scene):
    async with consumer_of(scene, scene["topic"], group=scene["group"]) as consumer:
        records = await read(consumer, scene["count"])
        await consumer.commit()
    return {"records": [record_of(r) for r in records]}


async def seek(scene):
    partitions = [TopicPartition(scene["topic"], p) for p in range(scene["partitions"])]
    async with consumer_of(scene, group=scene["group"]) as consumer:
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        await read(consumer, scene["count"])
        for partition in partitions:
            consumer.seek(partition, 0)
        records = await read(consumer, scene["count"])
    return {"records": [record_of(r) for r in records]}


async def transaction(scene):
    topic = scene["topic"] + "-transactions"
    await create_topic(scene, topic)
    async with AIOKafkaProducer(**scene["config"], transactional_id=topic) as producer:
        for word, end in [("aborted", producer.abort_transaction), ("committed", producer.commit_transaction)]:
            await producer.begin_transaction()
            for n in range(IN_TRANSACTION):
                # On the brokers before it ends, or an abort has nothing to take back.
                await producer.send_and_wait(topic, key=str(n).encode(), value=f"{word}-{n}".encode())
            await end()

    async with consumer_of(scene, topic, group=topic, isolation_level="read_committed") as consumer:
        return {"values": [decoded(r.value) for r in await read(consumer, IN_TRANSACTION)]}


async def delete_records(scene):
    partition = TopicPartition(scene["topic"], 0)
    deleted = await with_admin(scene, lambda admin: admin.delete_records({partition: RecordsToDelete(1)}))
    return {"low": deleted[partition]}


async def describe_topic(scene):
    (topic,) = await with_admin(scene, lambda admin: admin.describe_topics([scene["topic"]]))
    return {"partitions": len(topic["partitions"])}


async def describe_cluster(scene):
    cluster = await with_admin(scene, lambda admin: admin.describe_cluster())
    return {"addresses": [f"{broker['host']}:{broker['port']}" for broker in cluster["brokers"]]}


async def describe_configs(scene):
    resource = ConfigResource(ConfigResourceType.TOPIC, scene["topic"])
    (answer,) = await with_admin(scene, lambda admin: admin.describe_configs([resource]))
    ((_error, _message, _type, _name, entries),) = answer.resources
    return {"cleanup.policy": {name: value for name, value, *_ in entries}["cleanup.policy"]}


async def describe_group(scene):
    (answer,) = await with_admin(scene, lambda admin: admin.describe_consumer_groups([scene["group"]]))
    ((_error, _group, state, *_),) = answer.groups
    return {"state": state}


STEPS = [create, produce, consume, seek, transaction, delete_records]
STEPS += [describe_topic, describe_cluster, describe_configs, describe_group]


async def main():
    steps, scene = {step.__name__: step for step in STEPS}, given(config_of)
    for name in scene["steps"]:
        tell(name, await steps[name](scene))


asyncio.run(main())
