// server.js - publishing and minting tokens, on servers and edge functions: fetch and
// Web Crypto, nothing of Node's own.
const env = (name) => globalThis.process?.env?.[name];

// Answers after which the same request may do better; the key makes it safe.
const PASSING = new Set([429, 502, 503, 504]);

export class FanfareError extends Error {
	constructor(status, code, detail, ref) {
		super(`fanfare: ${status ? `${status} ${code}: ` : ''}${detail}`);
		Object.assign(this, { name: 'FanfareError', status, code, ref });
	}
}

// The promise, but no longer than the signal allows.
const pause = (ms, signal) => new Promise((resolve) => {
	const timer = setTimeout(resolve, ms);

	signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
});

// What fanfare says, which has this field; all else is thrown.
async function read(response, field) {
	const { ok, status, url, headers } = response;
	const at = headers.get('location');

	if (at !== null && status < 400)
		throw new FanfareError(status, 'not_fanfare', `${url} leads to ${at}, where a key is not sent: set FANFARE_URL, or url, to where that ends`);
	const text = await response.text();
	let said;
	try {
		said = JSON.parse(text);
	} catch {
		// Not fanfare's answer: a proxy's.
	}
	if (ok && said?.[field] !== undefined)
		return said;
	if (!ok && said?.code !== undefined)
		throw new FanfareError(status, said.code, said.detail, said.ref);
	throw new FanfareError(status, 'not_fanfare', `something else answered at ${url}: ${text.slice(0, 200)}`);
}

export class Publisher {
	#options;

	constructor(options = {}) {
		this.#options = options;
	}

	// Until it is answered, or the time is over: the answer, which has this field, or an error.
	async #request(field, path, init, signal) {
		const url = this.#options.url ?? env('FANFARE_URL');
		const key = this.#options.key ?? env('FANFARE_API_KEY');
		const { timeout = 5000 } = this.#options;

		if (!url)
			throw new TypeError('fanfare: where is the server? Set FANFARE_URL, or give url');
		if (!key)
			throw new TypeError('fanfare: no key: set FANFARE_API_KEY (`fanfare key` prints one), or give key');
		const end = AbortSignal.timeout(timeout);
		const until = signal ? AbortSignal.any([end, signal]) : end;
		const last = Date.now() + timeout;
		let error;

		for (let wait = 100; ; wait *= 2) {
			let after = 0;
			try {
				// One that hangs leaves time for another.  A redirect would make a GET of a POST.
				const response = await fetch(url.replace(/\/+$/, '') + path, { ...init, cache: 'no-store', redirect: 'manual',
					headers: { ...init.headers, authorization: `Bearer ${key}` },
					signal: AbortSignal.any([until, AbortSignal.timeout(timeout / 2)]) });
				after = 1000 * response.headers.get('retry-after') || 0;
				return await read(response, field);
			} catch (e) {
				// With a digest it is Next.js that speaks: this page cannot be made ahead.
				if (e.digest !== undefined || e instanceof FanfareError && (!PASSING.has(e.status) || Date.now() + after >= last))
					throw e;
				error = e.name === 'AbortError' || e.name === 'TimeoutError' ? error ?? e : e;
			}
			if (!until.aborted)
				await pause(after + wait * (0.5 + Math.random() / 2), until);
			if (signal?.aborted)
				throw signal.reason;
			if (until.aborted)
				throw error instanceof FanfareError ? error : new FanfareError(0, 'unreachable',
					`no answer from ${url} within ${timeout} ms: ${error.cause?.message ?? error.message}`);
		}
	}

	async publish(what, data, options) {
		const isBatch = Array.isArray(what);
		const { event, signal, idempotencyKey = crypto.randomUUID() } = (isBatch ? data : options) ?? {};
		const events = isBatch ? what : [{ topic: what, event, data }];

		for (const e of events)
			if (e.data === undefined)
				throw new TypeError(`fanfare: an event for ${e.topic} without data; null is data`);
		return this.#request(isBatch ? 'ids' : 'id', '/publish', { method: 'POST', body: JSON.stringify(isBatch ? events : events[0]),
			headers: { 'content-type': 'application/json', 'idempotency-key': idempotencyKey } }, signal);
	}

	async history(topics, { signal, ...options } = {}) {
		const query = new URLSearchParams();

		for (const topic of [topics].flat())
			query.append('topic', topic);
		for (const [name, value] of Object.entries(options))
			if (value !== undefined)
				query.append(name, value);
		return this.#request('events', `/history?${query}`, {}, signal);
	}

	// Its streams end within a second; the answer comes when a new token is good.
	async revoke({ sub, jti, issuer }, { signal } = {}) {
		return this.#request('ended', '/revoke', { method: 'POST', body: JSON.stringify({ sub, jti, issuer }),
			headers: { 'content-type': 'application/json' } }, signal);
	}

	async streams(which = {}, { signal } = {}) {
		const query = new URLSearchParams();

		if (typeof which !== 'object')
			throw new TypeError('fanfare: streams() takes { sub }, { jti } or { topic }');
		const { sub, jti, topic } = which;
		for (const [name, value] of Object.entries({ sub, jti, topic }))
			if (value !== undefined)
				query.append(name, value);
		return this.#request('count', `/streams?${query}`, {}, signal);
	}
}

const house = new Publisher();
export const publish = (...args) => house.publish(...args);
export const history = (...args) => house.history(...args);
export const revoke = (...args) => house.revoke(...args);
export const streams = (...args) => house.streams(...args);

const base64url = (bytes) => btoa(String.fromCharCode(...bytes))
	.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

export async function mintToken({ subscribe, publish: publishing, rate, expiresIn = 300, ...claims },
	{ secret = env('FANFARE_AUTH_KEY'), issuer, audience } = {}) {
	const bytes = new TextEncoder();

	if (!secret || bytes.encode(secret).length < 32)
		throw new TypeError('fanfare: to mint a token takes the server\'s auth.key, 32 bytes or more: set FANFARE_AUTH_KEY, or give secret');
	const now = Math.floor(Date.now() / 1000);
	const grants = subscribe || publishing ? { fanfare: { subscribe, publish: publishing, rate } } : {};
	const part = (object) => base64url(bytes.encode(JSON.stringify(object)));
	const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ ...claims, ...grants,
		iss: issuer, aud: audience, iat: now, exp: now + expiresIn })}`;
	const key = await crypto.subtle.importKey('raw', bytes.encode(secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);

	return `${text}.${base64url(new Uint8Array(await crypto.subtle.sign('HMAC', key, bytes.encode(text))))}`;
}
