// node subscribe.mjs TOPIC [AFTER]: every event as a line of JSON.
// npm install eventsource-parser
import { createParser } from 'eventsource-parser'
import { setTimeout as sleep } from 'node:timers/promises'

const { FANFARE_URL, FANFARE_API_KEY } = process.env
let [topic, cursor = ''] = process.argv.slice(2)
let wait = 3000

async function listen(handle) {
	const query = new URLSearchParams({ topic, format: 'envelope' })
	const quiet = new AbortController()
	// Heartbeats come every 15 seconds: without any it is dead.
	const watchdog = setTimeout(() => quiet.abort(), 45000)
	const parser = createParser({
		onRetry: (ms) => { wait = ms },
		onEvent({ id, event, data }) {
			handle(event, JSON.parse(data))
			cursor = id ?? cursor
		},
	})

	const headers = { accept: 'text/event-stream' }
	if (FANFARE_API_KEY)
		headers.authorization = `Bearer ${FANFARE_API_KEY}`
	if (cursor !== '')
		headers['last-event-id'] = cursor

	try {
		const response = await fetch(`${FANFARE_URL}/events?${query}`,
			{ headers, signal: quiet.signal })
		const text = new TextDecoder()

		if (!response.ok) {
			const { status } = response

			console.error('fanfare:', status, await response.text())
			if (status < 500 && status !== 429)
				process.exit(1)		// it would be refused again
			return
		}
		for await (const bytes of response.body) {
			watchdog.refresh()
			parser.feed(text.decode(bytes, { stream: true }))
		}
	} finally {
		clearTimeout(watchdog)
	}
}

function handle(event, data) {
	if (event === undefined)
		console.log(JSON.stringify(data))
	else if (event === 'fanfare.gap' || event === 'fanfare.close')
		console.error(event, JSON.stringify(data))
}

for (;;) {
	await listen(handle).catch((e) => console.error('fanfare:', e.message))
	await sleep(wait)
}
