// Plays the scene of loadtest/src/clients with kafkajs.
//
// One argument, a JSON object: bootstrap, client_id, login, tls, topic, partitions, replication, group, steps. The login
// is null or an object: mechanism, user, password. Standard input: one JSON record per line with the codec to send it
// under. Standard output: one JSON object per step, in their order.
'use strict'

const fs = require('fs')
const { ConfigResourceTypes, Kafka, logLevel } = require('kafkajs')
const CODECS = require('./codecs')

const LIMIT_MS = 60_000
const IN_TRANSACTION = 12

const text = data => (data === null || data === undefined ? null : data.toString())

function connect({ bootstrap, client_id, login, tls }) {
  return new Kafka({
    brokers: bootstrap.split(','),
    clientId: client_id,
    logLevel: logLevel.ERROR,
    ssl: tls && {
      ca: fs.readFileSync(tls.ca),
      cert: tls.certificate ? fs.readFileSync(tls.certificate) : undefined,
      key: tls.key ? fs.readFileSync(tls.key) : undefined,
    },
    sasl: login && { mechanism: login.mechanism.toLowerCase(), username: login.user, password: login.password },
  })
}

async function withAdmin({ kafka }, ask) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await ask(admin)
  } finally {
    await admin.disconnect()
  }
}

async function createTopic(scene, topic) {
  const config = { topic, numPartitions: scene.partitions, replicationFactor: scene.replication }
  // Its own wait for leaders gives up where a broker has not heard of the topic yet; producers try again.
  await withAdmin(scene, admin => admin.createTopics({ topics: [config], waitForLeaders: false }))
}

async function create(scene) {
  await createTopic(scene, scene.topic)
}

// Headers are an object; a name that repeats has an array.
function headersOf(pairs) {
  const headers = {}
  for (const [name, value] of pairs) {
    headers[name] = name in headers ? [].concat(headers[name], value) : value
  }
  return headers
}

async function produce(scene) {
  const producer = scene.kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (const [codec, records] of scene.script) {
    const messages = records.map(({ key, value, headers }) => ({ key, value, headers: headersOf(headers) }))
    await producer.send({ topic: scene.topic, compression: CODECS[codec], messages })
  }
  await producer.disconnect()
}

function recordOf({ key, value, headers }) {
  const pairs = Object.entries(headers).flatMap(([name, values]) => [].concat(values).map(v => [name, text(v)]))
  return { key: text(key), value: text(value), headers: pairs }
}

// Runs until `count` messages came, `rounds` times over; `again` is called between two rounds. What the last round gave. A
// member that joins anew begins again where the group committed, so what is read is told apart by where it lies.
async function read(consumer, count, rounds = 1, again = () => {}) {
  let messages = new Map()
  let timer
  await new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${messages.size} of ${count} messages read`)), LIMIT_MS)
    const eachMessage = async ({ topic, partition, message }) => {
      if (messages.size === count) return
      messages.set(`${partition}@${message.offset}`, { topic, partition, ...message })
      if (messages.size < count) return
      if (--rounds === 0) return resolve()
      messages = new Map()
      again()
    }
    consumer.run({ autoCommit: false, eachMessage }).catch(reject)
  })
  clearTimeout(timer)
  return [...messages.values()]
}

async function consumer(scene, groupId, topic) {
  const consumer = scene.kafka.consumer({ groupId })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  return consumer
}

async function consume(scene) {
  const member = await consumer(scene, scene.group, scene.topic)
  const messages = await read(member, scene.count)
  const ends = new Map()
  for (const { partition, offset } of messages) ends.set(partition, BigInt(offset) + 1n)
  const offsets = [...ends].map(([partition, end]) => ({ topic: scene.topic, partition, offset: end.toString() }))
  await member.commitOffsets(offsets)
  await member.disconnect()
  return { records: messages.map(recordOf) }
}

async function seek(scene) {
  const member = await consumer(scene, scene.group + '-seek', scene.topic)
  const toStart = () => {
    for (let partition = 0; partition < scene.partitions; partition++) {
      member.seek({ topic: scene.topic, partition, offset: '0' })
    }
  }
  const messages = await read(member, scene.count, 2, toStart)
  await member.disconnect()
  return { records: messages.map(recordOf) }
}

async function transaction(scene) {
  const topic = scene.topic + '-transactions'
  await createTopic(scene, topic)
  const producer = scene.kafka.producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (const word of ['aborted', 'committed']) {
    const transaction = await producer.transaction()
    const messages = [...Array(IN_TRANSACTION).keys()].map(n => ({ key: `${n}`, value: `${word}-${n}` }))
    await transaction.send({ topic, messages })
    await (word === 'aborted' ? transaction.abort() : transaction.commit())
  }
  await producer.disconnect()

  // Consumers read what is committed only, unless they ask for `readUncommitted`.
  const member = await consumer(scene, topic, topic)
  const messages = await read(member, IN_TRANSACTION)
  await member.disconnect()
  return { values: messages.map(message => text(message.value)) }
}

async function deleteRecords(scene) {
  const partitions = [{ partition: 0, offset: '1' }]
  await withAdmin(scene, async admin => {
    // It looks for the leader before it asks for one: a request about the topic has to come first.
    await admin.fetchTopicOffsets(scene.topic)
    await admin.deleteTopicRecords({ topic: scene.topic, partitions })
  })
}

async function describeTopic(scene) {
  const { topics } = await withAdmin(scene, admin => admin.fetchTopicMetadata({ topics: [scene.topic] }))
  return { partitions: topics[0].partitions.length }
}

async function describeCluster(scene) {
  const { brokers } = await withAdmin(scene, admin => admin.describeCluster())
  return { addresses: brokers.map(({ host, port }) => `${host}:${port}`) }
}

async function describeConfigs(scene) {
  const resources = [{ type: ConfigResourceTypes.TOPIC, name: scene.topic, configNames: ['cleanup.policy'] }]
  const described = await withAdmin(scene, admin => admin.describeConfigs({ includeSynonyms: false, resources }))
  return Object.fromEntries(described.resources[0].configEntries.map(e => [e.configName, e.configValue]))
}

async function describeGroup(scene) {
  const { groups } = await withAdmin(scene, admin => admin.describeGroups([scene.group]))
  return { state: groups[0].state }
}

const STEPS = {
  create,
  produce,
  consume,
  seek,
  transaction,
  delete_records: deleteRecords,
  describe_topic: describeTopic,
  describe_cluster: describeCluster,
  describe_configs: describeConfigs,
  describe_group: describeGroup,
}

async function main() {
  const scene = JSON.parse(process.argv[2])
  scene.kafka = connect(scene)
  scene.script = new Map()
  for (const line of fs.readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
    const record = JSON.parse(line)
    if (!scene.script.has(record.codec)) scene.script.set(record.codec, [])
    scene.script.get(record.codec).push(record)
  }
  scene.count = [...scene.script.values()].flat().length
  for (const step of scene.steps) {
    console.log(JSON.stringify({ step, ...(await STEPS[step](scene)) }))
  }
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
