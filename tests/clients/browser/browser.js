// Drives a headless Chromium for a test: a step a line on standard input, what came of it a line on standard output, both
// JSON. It ends, and the browser with it, when standard input does.
'use strict'

const { execFileSync } = require('child_process')
const http = require('http')
const readline = require('readline')
const { chromium } = require('playwright-core')

const ARGS = ['--headless', '--no-sandbox', '--disable-background-networking']
const PATIENCE_MS = 20_000

// Forwards what comes for a folder to another address, as a proxy does that knows it by a name of its own.
function proxy (folder) {
  const target = {}
  const server = http.createServer((request, answer) => {
    if (!request.url.startsWith(`${folder}/`)) return answer.writeHead(404).end()
    const [host, port] = target.address.split(':')
    const headers = { ...request.headers, host: target.address }
    const path = request.url.slice(folder.length)
    const forwarded = http.request({ host, port, method: request.method, path, headers }, response => {
      answer.writeHead(response.statusCode, response.headers)
      response.pipe(answer)
    })
    request.pipe(forwarded)
  })
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve({ target, port: server.address().port })))
}

async function main () {
  const executablePath = execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim()
  const browser = await chromium.launch({ executablePath, args: ARGS })
  const page = await browser.newPage({ locale: 'en-GB', timezoneId: 'UTC' })
  page.setDefaultTimeout(PATIENCE_MS)
  const complaints = []
  page.on('console', message => message.type() === 'error' && complaints.push(message.text()))
  page.on('pageerror', error => complaints.push(String(error)))
  page.on('dialog', dialog => {
    complaints.push(`a dialog: ${dialog.message()}`)
    dialog.dismiss()
  })
  let proxied

  const steps = {
    proxy: async ({ folder }) => {
      proxied = await proxy(folder)
      return proxied.port
    },
    forward: ({ to }) => { proxied.target.address = to },
    open: async ({ url }) => (await page.goto(url)).status(),
    fill: ({ label, text }) => page.getByLabel(label, { exact: true }).fill(text),
    press: ({ button }) => page.getByRole('button', { name: button, exact: true }).click(),
    // What an element says, once that has these words.
    text: async ({ of, words }) => {
      const element = page.locator(of).filter({ hasText: words ?? '' })
      await element.waitFor()
      return element.innerText()
    },
    count: ({ of }) => page.locator(of).count(),
    // On the keyboard, whatever it is that has it.
    type: ({ text }) => page.keyboard.type(text),
    // All that a browser would keep of the page, and where it is.
    kept: async () => page.evaluate(() => [location.href, document.cookie, localStorage.length, sessionStorage.length]),
    complaints: () => complaints.splice(0)
  }

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const step = JSON.parse(line)
    const done = await Promise.resolve().then(() => steps[step.do](step)).catch(error => ({ failed: String(error) }))
    console.log(JSON.stringify(done ?? null))
  }
  await browser.close()
  process.exit()
}

main()
