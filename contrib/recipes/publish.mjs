// node publish.mjs TOPIC EVENT DATA [KEY]: publishes JSON once, however
// often it has to try.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

const { FANFARE_URL, FANFARE_API_KEY } = process.env

async function attempt(body) {
	const response = await fetch(`${FANFARE_URL}/publish`, {
		method: 'POST', body, cache: 'no-store',
		headers: { authorization: `Bearer ${FANFARE_API_KEY}`,
			'content-type': 'application/json' },
		signal: AbortSignal.timeout(5000) })
	const answer = await response.json().catch(() => ({}))

	if (response.ok)
		return answer
	const { code = response.statusText, detail = '' } = answer
	throw Object.assign(new Error(`${response.status} ${code}: ${detail}`),
		{ status: response.status })
}

async function publish(topic, event, data, key = randomUUID()) {
	const body = JSON.stringify({ topic, event, data,
		idempotency_key: key })

	for (let wait = 1000; ; wait *= 2) {
		try {
			return await attempt(body)
		} catch (e) {
			const refused = e.status < 500 && e.status !== 429
			if (refused || wait > 8000)
				throw e
			await sleep(wait)
		}
	}
}

const [topic, event, data, key] = process.argv.slice(2)
try {
	const answer = await publish(topic, event, JSON.parse(data), key)
	console.log(JSON.stringify(answer))
} catch (e) {
	console.error(`publish: ${e.cause?.message || e.message}`)
	process.exitCode = 1
}
