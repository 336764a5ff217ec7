// Keeps kafkajs' producer and consumer at work for loadtest/src/stream/. Arguments and reports are those of
// tests/clients/scene/flow.py.
'use strict'

const crypto = require('crypto')
const fs = require('fs')
const path = require('path')
const { Kafka, Partitioners, logLevel } = require('kafkajs')
const { errorCodes } = require('kafkajs/src/protocol/error')
const CODECS = require('./codecs')

const PADDING = crypto.createHash('shake256', { outputLength: 1 << 17 }).update('padding').digest()
const TICK_MS = 20
// As often as it takes: a limit of its own would give a record up that another attempt delivers.
const RETRY = { initialRetryTime: 100, maxRetryTime: 1_000, retries: Number.MAX_SAFE_INTEGER }

const told = Object.fromEntries(process.argv.slice(2).map(argument => argument.split(/=(.*)/s, 2)))
const [partitions, rate, size] = ['partitions', 'rate', 'value_bytes'].map(name => Number(told[name]))
const file = suffix => path.join(told.folder, `${told.name}.${suffix}`)
const report = suffix => {
  const descriptor = fs.openSync(file(suffix), 'a')
  return lines => lines.length > 0 && fs.writeSync(descriptor, lines.join('\n') + '\n')
}
const [produced, consumed, errors] = ['produced', 'consumed', 'errors'].map(report)
const askedTo = what => fs.existsSync(path.join(told.folder, what))
const pause = () => new Promise(resolve => setTimeout(resolve, TICK_MS))
const hash = value => crypto.createHash('sha256').update(value).digest('hex').slice(0, 16)

// What the client logs is all that is told of errors which it retries: Kafka's by their text, its own by what librdkafka
// calls them.
const OWN = [
  [/ timed out\b/, '_TIMED_OUT'],
  [/Connection (error|timeout)|Closed connection|Failed to connect|ECONN|EPIPE|not connected|disconnected/i, '_TRANSPORT'],
]
function nameOf(text) {
  const kafkas = errorCodes.find(({ message }) => text.includes(message))
  const own = OWN.find(([pattern]) => pattern.test(text))
  return kafkas ? kafkas.type : own ? own[1] : 'OTHER'
}
const logCreator = () => ({ log: { message, error = '', stack = '' } }) => {
  const text = `${message}: ${error}`
  errors([`log ${nameOf(text)} ${text.replaceAll(/\s+/g, ' ')}`])
  console.error(new Date().toISOString(), text, stack)
}

const kafka = new Kafka({
  brokers: told.bootstrap.split(','),
  clientId: told.name,
  logLevel: logLevel.WARN,
  logCreator,
  retry: RETRY,
})

function valueOf(sequence) {
  const head = Buffer.from(`${told.producer}:${sequence}:`)
  const at = (sequence * 7919) % 65536
  return Buffer.concat([head, PADDING.subarray(at, at + size - head.length)])
}

// A request about one partition: of several, it takes one for sent that has moved, before it was, to a broker which has
// answered for the others.
async function send(producer, partition, batch) {
  const messages = batch.map(({ value }) => ({ partition, value }))
  await producer.send({ topic: told.topic, acks: -1, compression: CODECS[told.codec], messages })
  produced(batch.map(({ sequence, value }) => `${partition} ${sequence} ${hash(value)}`))
}

async function produce() {
  const createPartitioner = Partitioners.DefaultPartitioner
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, createPartitioner, retry: RETRY })
  await producer.connect()
  let sequence = 0
  let started = Date.now()
  while (!askedTo('stop-producing')) {
    let due = Math.floor(((Date.now() - started) * rate) / 1000)
    // What could not be sent in time is not made up for at once: a stream, no flood.
    if (due - sequence > rate) {
      started += ((due - sequence) * 1000) / rate
      due = sequence
    }
    const batches = Array.from({ length: partitions }, () => [])
    for (; sequence < due; sequence++) batches[sequence % partitions].push({ sequence, value: valueOf(sequence) })
    const filled = [...batches.entries()].filter(([, batch]) => batch.length > 0)
    await Promise.all(filled.map(([partition, batch]) => send(producer, partition, batch)))
    await pause()
  }
  await producer.disconnect()
  fs.writeFileSync(file('done'), `${sequence} 0\n`)
}

async function consume() {
  const member = kafka.consumer({ groupId: told.group })
  await member.connect()
  await member.subscribe({ topic: told.topic, fromBeginning: true })
  const eachBatch = async ({ batch: { partition, messages } }) => {
    const line = ({ offset, value }) => {
      const [producer, sequence] = value.subarray(0, 40).toString('latin1').split(':', 2)
      return `${partition} ${offset} ${producer} ${sequence} ${hash(value)}`
    }
    consumed(messages.map(line))
  }
  await member.run({ autoCommitInterval: 1_000, eachBatch })
  while (!askedTo('stop-consuming')) await pause()
  await member.disconnect()
}

const members = Array.from({ length: Number(told.members) }, consume)
Promise.all([produce(), ...members]).catch(error => {
  console.error(error)
  process.exit(1)
})
