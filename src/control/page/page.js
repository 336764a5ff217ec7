// The page of one access request: logs in, shows it, and sends what somebody says of it.
//
// Invariants:
// - The login is in this variable and in nothing else: no storage, no address, no cookie.
// - What strangers wrote becomes text (textContent) and nothing else; characters that change how other text looks are written
//   out.
// - Nothing is decided on what nobody can have read: before a decision is sent, the request is looked at again, and if it is
//   another than what is shown, or only just became what is shown, nothing is sent.
'use strict'

const ID = location.pathname.split('/').pop()
const API = '../api/v1/'
const AGAIN_MS = 3000
const TO_READ_MS = 1000

let login = null
let shown = null
let changedAt = -Infinity
let busy = false
let lost = false

const at = id => document.getElementById(id)

// Talking to the gateway.

class Refused extends Error {
  constructor(status, words) {
    super(words)
    this.status = status
  }
}

async function ask(path, body) {
  const headers = { Authorization: `Bearer ${login}` }
  if (body) headers['Content-Type'] = 'application/json'
  const method = body ? 'POST' : 'GET'
  let answer
  try {
    answer = await fetch(API + path, { method, headers, body: body && JSON.stringify(body), cache: 'no-store' })
  } catch {
    throw new Refused(0, 'The gateway cannot be reached.')
  }
  const said = await answer.json().catch(() => null)
  if (answer.ok && said) return said
  throw new Refused(answer.status, said?.detail ?? `The gateway answered ${answer.status} and nothing that can be read.`)
}

const read = () => ask(`requests/${ID}`)

// Texts.

const harmless = text =>
  String(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, c =>
    `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`)

function element(tag, ...inside) {
  const made = document.createElement(tag)
  made.append(...inside)
  return made
}

function theirs(text, tag = 'span') {
  const made = element(tag, harmless(text))
  made.className = 'theirs'
  return made
}

// What may have several lines, where nothing can be mistaken for them.
const block = text => element('span', ...text.split('\n').flatMap(line => [theirs(line), element('br')]).slice(0, -1))

const person = who => who.subject + (who.minted_by ? ` (with a token by ${person(who.minted_by)})` : '')

function moment(text) {
  const made = element('time', new Date(text).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' }))
  made.dateTime = text
  made.title = text
  return made
}

function span(seconds) {
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']]
  const [size, name] = units.find(([size]) => seconds % size === 0)
  return `${seconds / size} ${name}`
}

// A name and what it is, which may be an element; what is not there has no line.
const facts = rows => rows.filter(([, value]) => value).flatMap(([name, value]) => [
  element('dt', theirs(name)), element('dd', value instanceof Node ? value : theirs(value))
])

const SAID = { approve: 'approved', deny: 'denied', break_glass: 'broke the glass', review: 'reviewed it' }

function tell(words, kind = '') {
  at('news').className = kind
  at('news').textContent = harmless(words)
}

// Showing the request.

function show(request) {
  shown = request
  const urgent = request.to_be_reviewed
  at('state').textContent = urgent ? `${request.state}, to be reviewed` : request.state
  at('state').className = `state ${urgent ? 'urgent' : request.state}`
  at('id').textContent = request.id
  at('title').replaceChildren(theirs(request.summary.charAt(0).toUpperCase() + request.summary.slice(1)))
  document.title = harmless(`${request.state}: ${request.summary} · Weir`)
  at('open-until').replaceChildren(...(request.state === 'pending' ? ['Open until ', moment(request.expires)] : []))
  showWho(request)
  const what = request.operation.replaceAll('_', ' ') + (request.cluster && `, on cluster ${request.cluster}`)
  at('resources').replaceChildren(element('p', theirs(what)), ...others(request.parameters),
    ...request.resources.map(resource))
  showEffect(request.effect)
  at('rules').replaceChildren(...request.rules.map(rule => element('li', theirs(rule.name, 'strong'), ': ',
    theirs(rule.approvers), rule.reason_required ? ', with a reason' : '',
    `; gives ${span(rule.valid_s)} and ${rule.uses} ${rule.uses === 1 ? 'use' : 'uses'}`)))
  at('decisions').replaceChildren(...listed(request.decisions, decision => element('li',
    theirs(person(decision.by), 'strong'), ` ${SAID[decision.said] ?? decision.said}, `, moment(decision.at),
    ...(decision.comment ? [': ', theirs(decision.comment)] : []))))
  at('similar').replaceChildren(...listed(request.similar ?? [], past => element('li',
    element('code', past.id), ` ${past.state}`, past.decided_by ? ' by ' : '',
    ...(past.decided_by ? [theirs(person(past.decided_by))] : []), ': ', theirs(past.summary), ' for ',
    theirs(person(past.requester)), ', ', moment(past.created))))
  showGrant(request.grant)
  at('decide').hidden = request.state !== 'pending'
  at('emergency').hidden = !request.to_be_reviewed
  at('login').hidden = true
  at('request').hidden = false
}

const listed = (all, line) => (all.length ? all.map(line) : [element('li', 'none')])

function showWho(request) {
  const { requester, cluster, listener } = request
  at('asks').replaceChildren(...facts([
    ['Who', person(requester)],
    ['Vouched for by', requester.issuer],
    ['Groups', (requester.groups ?? []).join(', ')],
    ['Client', request.client_id],
    ['From', request.address],
    ['Where', cluster && (listener ? `cluster ${cluster}, listener ${listener}` : `cluster ${cluster}; asked for beforehand`)],
    ['Asked', moment(request.created)]
  ]))
  at('reason').replaceChildren(...(request.reason ? [theirs(request.reason)] : []))
  at('no-reason').hidden = Boolean(request.reason)
  at('no-reason').textContent = request.state === 'pending' && request.rules.some(rule => rule.reason_required)
    ? `No reason was given yet. Nobody can approve it before the requester says why: weir request ${request.id} --reason "…"`
    : 'No reason was given.'
}

function resource({ kind, name, parameters }) {
  const made = element('div', element('p', `${kind} `, theirs(name || 'all', 'strong')))
  made.className = 'resource'
  made.append(...others(parameters))
  return made
}

function others(parameters) {
  const rows = Object.entries(parameters).map(([name, value]) => [name, block(value)])
  return rows.length ? [element('dl', ...facts(rows))] : []
}

function showEffect(effect) {
  const grouped = value => (/^\d{4,}$/.test(value) ? BigInt(value).toLocaleString() : value)
  const known = (effect?.facts ?? []).map(({ about, what, value }) =>
    [`${about}: ${what.replaceAll('_', ' ')}`, grouped(value)])
  at('effect').replaceChildren(...facts(known))
  let trouble = effect ? '' : 'It is being found out.'
  if (effect?.trouble) trouble = `Not all is known: ${effect.trouble}`
  else if (effect && !known.length) trouble = 'Nothing is known of it.'
  at('effect-trouble').textContent = harmless(trouble)
}

function showGrant(grant) {
  at('grant').hidden = !grant
  at('revoke').hidden = !grant?.in_force
  if (!grant) return
  const revoked = grant.revoked_by && `revoked by ${person(grant.revoked_by)}`
  at('grant-facts').replaceChildren(...facts([
    ['Grant', grant.id],
    ['State', revoked || (grant.in_force ? 'in force' : 'not in force any more')],
    ['Until', moment(grant.until)],
    ['Used', `${grant.used.length} of ${grant.uses} times`],
    ...grant.used.map(use => ['Use', element('span', moment(use.at), ' by ', theirs(use.by))]),
  ]))
}

// Following it.

const PARTS = { state: 'where it stands', reason: 'the reason', effect: 'what it would come to', decisions: 'what was said',
  grant: 'the grant', similar: 'requests like it', to_be_reviewed: 'whether it was reviewed' }

// Shows it anew, and says in words what was another on the screen; nothing where nothing was.
function renew(request) {
  const differ = key => JSON.stringify(request[key]) !== JSON.stringify(shown[key])
  const what = Object.keys(PARTS).filter(differ).map(key => PARTS[key]).join(', ')
  show(request)
  if (what) changedAt = performance.now()
  return what
}

async function follow() {
  const mayChange = shown && (shown.state === 'pending' || shown.to_be_reviewed || shown.grant?.in_force)
  if (busy || document.hidden || !mayChange) return
  const before = shown
  try {
    const request = await read()
    // Somebody has decided or left meanwhile, or is about to: what was read is old.
    if (busy || shown !== before) return
    const what = renew(request)
    if (what) tell(`It changed just now: ${what}.`)
    else if (lost) tell('')
    lost = false
  } catch (refused) {
    if (shown === before) failed(refused)
  }
}

// Logging in and out, and deciding.

function leave(words) {
  login = shown = null
  at('request').hidden = at('leave').hidden = true
  at('who').textContent = ''
  document.querySelectorAll('form').forEach(form => form.reset())
  document.title = 'Access request · Weir'
  at('login').hidden = false
  at('token').focus()
  tell(words, words && 'bad')
}

function failed(refused) {
  lost = refused.status === 0
  if (refused.status === 401 && shown) leave(`You are logged out: ${refused.message}`)
  else tell(refused.message, 'bad')
}

async function enter() {
  login = at('token').value.trim()
  at('token').value = ''
  try {
    const [caller, request] = await Promise.all([ask('caller'), read()])
    show(request)
    at('who').textContent = harmless(person(caller))
    at('who').title = harmless(`${caller.issuer}; roles: ${caller.roles.join(', ')}`)
    at('leave').hidden = false
    tell('')
  } catch (refused) {
    leave(refused.message)
  }
}

const OUTCOMES = { approve: 'Approved. Whoever asked can go ahead now.', deny: 'Denied. Whoever asked is told why.',
  review: 'Marked as reviewed.', revoke: 'Revoked. What the grant had opened has ended.' }

async function say(said, path, body) {
  renew(await read())
  if (performance.now() - changedAt < TO_READ_MS) {
    return tell('Nothing was sent: the request changed just now. Read what it is, then decide.', 'bad')
  }
  const after = await ask(path, body)
  show(after)
  const more = said === 'approve' && after.state === 'pending'
  tell(more ? 'Your yes counts. It takes others as well.' : OUTCOMES[said], 'good')
}

// Sends a form by the program, one at a time; nobody leaves meanwhile, and the keyboard stays where it was.
function on(form, work) {
  at(form).addEventListener('submit', async event => {
    event.preventDefault()
    if (busy) return
    busy = true
    const buttons = document.querySelectorAll('button')
    buttons.forEach(button => { button.disabled = true })
    try {
      await work(new FormData(at(form)))
    } catch (refused) {
      failed(refused)
    } finally {
      busy = false
      buttons.forEach(button => { button.disabled = false })
      const last = shown && event.submitter?.offsetParent ? event.submitter : at(shown ? 'title' : 'token')
      last.focus()
    }
  })
}

const words = (form, name) => form.get(name).trim() || undefined
const number = (form, name, times) => (form.get(name) ? Number(form.get(name)) * times : undefined)
const decide = (said, more) => say(said, `requests/${ID}/decisions`, { said, ...more })

on('login', enter)
on('approve', form => decide('approve', { comment: words(form, 'comment'), valid_s: number(form, 'minutes', 60),
  uses: number(form, 'uses', 1) }))
on('deny', form => decide('deny', { comment: words(form, 'reason') }))
on('review', form => decide('review', { comment: words(form, 'comment') }))
on('revoke', form => say('revoke', `grants/${shown.grant.id}/revocation`, { reason: words(form, 'reason') }))
at('leave').addEventListener('click', () => leave(''))
setInterval(follow, AGAIN_MS)
leave('')
