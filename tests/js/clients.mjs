// clients.mjs - the clients that people use, each against a real server: EventSource of
// both browsers and of Node.js, and packages from npm, those for browsers in both.
//
// Each client has a front of its own, a listener that hands /events on to the server
// byte for byte.  It notes what is asked, counts the heartbeats, and cuts connections.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createEventSource } from 'eventsource-client';
import EventSource2 from 'eventsource2';
import { EventSource as EventSource3 } from 'eventsource3';
import { EventSource as EventSource5 } from 'eventsource5';
import { BROWSERS, LIMIT, Server, atEnd, finish, launch, mint, openPage, sleep, until } from './harness.mjs';
import { PAYLOADS, asRead } from './payloads.mjs';

const CONTROL = ['live', 'gap', 'expiring', 'ping', 'close'].map((n) => `fanfare.${n}`);
const STATUSES = [204, 401, 404, 429, 500, 502, 503];
const WATCHED_MS = 7000;	// how long a client may think about a status

// --- the clients ---
//
// keeps: where the cursor stands when it comes back: header, or the parameter's name.
// retries: the statuses after which it asks again by itself.
// ends: over when it takes a clean end of a stream for the end.
// moves: the redirects whose aim it asks when it comes back, not the first address.
// reads: how it reads a text, where not as it is.
// bearer: it can send a token in Authorization; the others put it into the address.

const EVERY = STATUSES;
const ALL_BUT_204 = STATUSES.filter((s) => s !== 204);
// Loses empty lines at the beginning, and a byte order mark at that of each line.
const loosely = (data) => asRead(data).split('\n').map((line) => line.replace(/^\ufeff/, '')).join('\n').replace(/^\n+/, '');
const kinds = {
	native: { keeps: 'header', retries: [], moves: { chromium: [301, 307], firefox: [301] } },
	'event-source-polyfill': { keeps: 'lastEventId', retries: [], bearer: true },
	'reconnecting-eventsource': { keeps: 'header', retries: EVERY, moves: { chromium: [301, 307], firefox: [301] } },
	// Chromium's cache knows the 301; the client asks the first address.
	'fetch-event-source': { keeps: 'header', retries: EVERY, moves: { chromium: [301] }, bearer: true, reads: loosely },
	'fetch-event-source as it comes': { keeps: 'header', retries: EVERY, bearer: true, reads: loosely, ends: 'over' },
	eventsource2: { keeps: 'header', retries: [500, 502, 503], moves: { 'Node.js': [301] }, bearer: true },
	eventsource3: { keeps: 'header', retries: [], bearer: true },
	eventsource5: { keeps: 'header', retries: [], bearer: true },
	'eventsource-client': { keeps: 'header', retries: ALL_BUT_204, bearer: true },
	'node --experimental-eventsource': { keeps: 'header', retries: [], moves: { worker: [301, 307] } },
};

// In a page, a worker, or here: open a stream, and note what it delivers.
function connector(libraries, post) {
	const held = [];
	const eventSource = (es, names, note) => {
		for (const name of ['message', ...names])
			es.addEventListener(name, (e) => note(e.type, e.data, e.lastEventId));
		return { close: () => es.close(), state: () => es.readyState };
	};
	const withHeaders = (kind) => (url, names, note, headers) => eventSource(new libraries[kind](url, { headers }), names, note);
	const withFetch = (kind) => (url, names, note, headers) => eventSource(new libraries[kind](url, {
		fetch: (u, init) => fetch(u, { ...init, headers: { ...init.headers, ...headers } }),
	}), names, note);
	const fetching = (more) => (url, names, note, headers) => {
		const stop = new AbortController();
		let state = 0;
		libraries.fetchEventSource(url, { signal: stop.signal, headers, onmessage: (e) => note(e.event || 'message', e.data, e.id), ...more })
			.then(() => { state = 2; });
		return { close: () => stop.abort(), state: () => state };
	};
	const ways = {
		'event-source-polyfill': withHeaders('event-source-polyfill'),
		eventsource2: withHeaders('eventsource2'),
		eventsource3: withFetch('eventsource3'),
		eventsource5: withFetch('eventsource5'),
		'fetch-event-source': fetching({ onclose() { throw new Error('the stream ended'); } }),
		'fetch-event-source as it comes': fetching({}),
		'eventsource-client': (url, names, note, headers) => {
			const es = libraries.createEventSource({ url, headers, onMessage: (e) => note(e.event ?? 'message', e.data, e.id) });
			return { close: () => es.close(), state: () => ['connecting', 'open', 'closed'].indexOf(es.readyState) };
		},
		'reconnecting-eventsource by onmessage': (url, names, note) => {
			const es = new libraries['reconnecting-eventsource'](url);
			es.onmessage = (e) => note(e.type, e.data, e.lastEventId);
			return { close: () => es.close(), state: () => es.readyState };
		},
	};

	return {
		open(kind, url, names, headers) {
			const n = held.length;
			const note = (...event) => post(n, event);
			held.push(ways[kind]?.(url, names, note, headers) ?? eventSource(new libraries[kind](url), names, note));
			return n;
		},
		close: (n) => held[n].close(),
		state: (n) => held[n].state(),
	};
}

// The page of a client for browsers; `log` is [[type, data, id], ...] of each stream.
const page = (kind) => `<!doctype html><meta charset="utf-8"><title>${kind}</title>
<script src="/js/event-source-polyfill.js"></script>
<script type="module">
	import ReconnectingEventSource from '/js/reconnecting-eventsource.js';
	import { fetchEventSource } from '/js/fetch-event-source/index.js';
	const log = window.log = [];
	window.client = (${connector})({ native: EventSource, fetchEventSource,
		'event-source-polyfill': EventSourcePolyfill, 'reconnecting-eventsource': ReconnectingEventSource },
		(n, event) => (log[n] ??= []).push(event));
</script>`;

const modules = path.dirname(createRequire(import.meta.url).resolve('eventsource2')).replace(/node_modules\/.*/, 'node_modules/');
const scripts = [['/js/event-source-polyfill.js', 'event-source-polyfill/src/eventsource.js'],
	['/js/reconnecting-eventsource.js', 'reconnecting-eventsource/build/esm/reconnecting-eventsource.js'],
	...['index', 'fetch', 'parse'].flatMap((f) => [`/js/fetch-event-source/${f}`, `/js/fetch-event-source/${f}.js`]
		.map((url) => [url, `@microsoft/fetch-event-source/lib/esm/${f}.js`]))];
const files = new Map(scripts.map(([url, file]) => [url, fs.readFileSync(path.join(modules, file), 'utf8')]));

// --- the front of a client ---

class Front {
	static async make(server, kind) {
		const f = Object.assign(new Front(), { server, kind, requests: [], beats: 0, refuses: false, sockets: new Set() });

		f.listener = net.createServer((socket) => f.converse(socket)).listen(0, '127.0.0.1');
		await once(f.listener, 'listening');
		f.origin = `http://127.0.0.1:${f.listener.address().port}`;
		atEnd(() => { f.listener.close(); f.cut(); });
		return f;
	}

	cut() {
		this.sockets.forEach((s) => s.resetAndDestroy());
	}

	// What was asked for, whose address holds `text`.
	asked(text) {
		return this.requests.filter((r) => r.url.includes(text));
	}

	converse(socket) {
		let text = '';
		const read = (bytes) => {
			text += bytes.toString('latin1');
			if (!text.endsWith('\r\n\r\n'))
				return;
			socket.off('data', read);
			const [first, ...lines] = text.trimEnd().split('\r\n');
			const url = first.split(' ')[1];
			this.requests.push({ url, params: new URL(url, 'http://x').searchParams, at: Date.now(),
				headers: Object.fromEntries(lines.map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 1).trim()])) });
			this.answer(socket, url, text);
		};

		this.sockets.add(socket);
		socket.on('close', () => this.sockets.delete(socket)).on('error', () => {}).on('data', read);
	}

	answer(socket, url, head) {
		const { pathname } = new URL(url, 'http://x');
		const status = /^\/status\/(\d+)/.exec(pathname)?.[1];
		const reply = (code, type, body) => socket.end(`HTTP/1.1 ${code} X\r\nConnection: close\r\n${type === null ? '' : `Content-Type: ${type}\r\n`}\r\n${body}`);

		if (pathname.startsWith('/moved/'))
			socket.end(`HTTP/1.1 ${pathname.slice(7)} X\r\nConnection: close\r\nContent-Length: 0\r\nLocation: ${this.origin}/ends?${pathname.slice(7)}\r\n\r\n`);
		else if (status !== undefined || (this.refuses && pathname === '/events'))
			reply(status ?? 503, null, '');
		else if (pathname === '/ends')
			reply(200, 'text/event-stream', 'retry: 500\n: over\n');
		else if (files.has(pathname))
			reply(200, 'text/javascript', files.get(pathname));
		else if (pathname !== '/events')
			reply(200, 'text/html', page(this.kind));
		else {
			const upstream = net.connect(this.server.port, '127.0.0.1');
			upstream.on('error', () => socket.resetAndDestroy()).on('data', (bytes) => {
				this.beats += bytes.toString('latin1').match(/^: hb$/gm)?.length ?? 0;
			});
			upstream.write(head.replace(/\r\nconnection: [^\r]*/i, '\r\nConnection: close'), 'latin1');
			upstream.pipe(socket);
			socket.on('close', () => upstream.destroy());
		}
	}
}

// --- a client under test ---

class Client {
	constructor(kind, where) {
		Object.assign(this, { kind, where, ...kinds[kind], moves: kinds[kind]?.moves?.[where] ?? [], name: kind === 'native' ? `EventSource in ${where}` : `${kind} in ${where}` });
	}

	async start() {
		this.front = await Front.make(server, this.kind);
		if (BROWSERS.includes(this.where)) {
			const src = `${this.front.origin}/`;
			await pages[this.where].evaluate((url) => {
				document.body.append(Object.assign(document.createElement('iframe'), { src: url }));
			}, src);
			const frame = await until(`${this.name} has its frame`, () => pages[this.where].frames().find((f) => f.url() === src));
			await until(`${this.name} is loaded`, () => frame.evaluate(() => typeof client === 'object').catch(() => false));
			this.call = (what, ...args) => frame.evaluate((w, a) => client[w](...a), what, args);
			this.log = (n) => frame.evaluate((k) => log[k] ?? [], n);
			return;
		}
		const logs = [];
		const post = (n, event) => (logs[n] ??= []).push(event);
		this.log = async (n) => logs[n] ?? [];
		if (this.where === 'worker') {
			const worker = new Worker(`const { parentPort } = require('node:worker_threads');
				const client = (${connector})({ '${this.kind}': EventSource }, (n, event) => parentPort.postMessage({ n, event }));
				parentPort.on('message', ({ what, args, call }) => parentPort.postMessage({ call, result: client[what](...args) }));`,
			{ eval: true, execArgv: ['--experimental-eventsource', '--no-warnings'] });
			const waiting = new Map();
			let calls = 0;
			worker.on('message', ({ call, result, n, event }) => (call === undefined ? post(n, event) : waiting.get(call)(result)));
			this.call = (what, ...args) => new Promise((resolve) => {
				waiting.set(++calls, resolve);
				worker.postMessage({ call: calls, what, args });
			});
			atEnd(() => worker.terminate());
		} else {
			const client = connector({ createEventSource, eventsource2: EventSource2, eventsource3: EventSource3, eventsource5: EventSource5 }, post);
			this.call = async (what, ...args) => client[what](...args);
		}
	}

	// A stream of `address`, which names this client's own topics by T.
	async open(address, { names = CONTROL, headers = {} } = {}) {
		const n = await this.call('open', this.kind, `${this.front.origin}${address.replaceAll('topic=T', `topic=open/${this.id}`)}`, names, headers);
		return { log: () => this.log(n), state: () => this.call('state', n), close: () => this.call('close', n),
			of: async (type) => (await this.log(n)).filter((e) => e[0] === type), is: (count, type = 'message') => this.has(n, count, type) };
	}

	has(n, count, type) {
		return until(`${this.name} has ${count} of ${type}`, async () => (await this.log(n)).filter((e) => e[0] === type).length >= count)
			.catch(async (e) => { throw new Error(`${e.message}: ${JSON.stringify(await this.log(n)).slice(0, 2000)}`); });
	}
}

const clients = [
	...BROWSERS.flatMap((b) => ['native', 'event-source-polyfill', 'reconnecting-eventsource', 'fetch-event-source', 'fetch-event-source as it comes']
		.map((kind) => new Client(kind, b))),
	...['eventsource2', 'eventsource3', 'eventsource5', 'eventsource-client'].map((kind) => new Client(kind, 'Node.js')),
	new Client('node --experimental-eventsource', 'worker'),
];
clients.forEach((c, i) => { c.id = `c${i}`; });
const everyone = (f) => Promise.all(clients.map(f));
const lasting = clients.filter((c) => c.ends !== 'over');

let server;
const pages = {};

// The same `count` events for everybody, on each one's own topic.
const tell = (suffix, from, count, event) => server.publish(clients.flatMap((c) =>
	Array.from({ length: count }, (_, i) => ({ topic: `open/${c.id}${suffix}`, data: String(from + i), event }))));

before(async () => {
	server = await Server.make('clients', { isPublic: false,
		options: ['--topics.public=open/**', '--stream.heartbeat=1s', '--server.drain_time=1s'] });
	for (const name of BROWSERS)
		pages[name] = await openPage(await launch(name), (await Front.make(server, 'none')).origin);
	await everyone((c) => c.start());
	await Promise.all([quiet(), statuses(), payloads()]);
	await resumes();
}, { timeout: 240000 });

after(finish, LIMIT);

// --- E9: a hundred events and ten heartbeats ---

async function quiet() {
	await everyone(async (c) => {
		c.raw = await c.open('/events?topic=T/raw');
		c.enveloped = await c.open('/events?topic=T/enveloped&format=envelope&heartbeat=event');
		await Promise.all([c.raw.is(1, 'fanfare.live'), c.enveloped.is(1, 'fanfare.live')]);
	});
	for (let i = 0; i < 10; i++) {
		const beats = clients.map((c) => c.front.beats);
		await tell('/raw', i * 10, 10);
		await tell('/enveloped', i * 10, 10, 'goal');
		await until('everybody had a heartbeat', () => clients.every((c, k) => c.front.beats > beats[k]));
	}
	await everyone(async (c) => {
		await Promise.all([c.raw.is(100), c.enveloped.is(100), c.enveloped.is(8, 'fanfare.ping')]);
		c.quiet = [await c.raw.log(), await c.enveloped.log()];
		await c.raw.close();
		await c.enveloped.close();
	});
}

for (const c of clients) {
	const numbers = Array.from({ length: 100 }, (_, i) => String(i));

	test(`E9: ${c.name}: a hundred events and ten heartbeats are a hundred calls`, () => {
		assert.ok(c.front.beats >= 10);
		assert.deepEqual(c.quiet[0].map((e) => e[0]), ['fanfare.live', ...numbers.map(() => 'message')]);
		assert.deepEqual(c.quiet[0].slice(1).map((e) => e[1]), numbers);
		c.quiet[0].forEach((e) => assert.match(e[2], /^[0-9a-f]{8}-\d+$/));
	});

	test(`${c.name}: in envelopes named events are messages, and visible heartbeats are not`, () => {
		const messages = c.quiet[1].filter((e) => e[0] === 'message');
		assert.deepEqual(messages.map((e) => JSON.parse(e[1])).map((e) => [e.event, e.data]), numbers.map((n) => ['goal', n]));
		assert.deepEqual(messages.map((e) => e[2]), messages.map((e) => JSON.parse(e[1]).id));
		assert.deepEqual([...new Set(c.quiet[1].map((e) => e[0]))].sort(), ['fanfare.live', 'fanfare.ping', 'message']);
	});
}

// --- E3: payloads ---

async function payloads() {
	await everyone(async (c) => {
		c.payloads = await c.open('/events?topic=T/payloads');
		await c.payloads.is(1, 'fanfare.live');
	});
	for (const c of clients)
		await server.publish(PAYLOADS.map((data) => ({ topic: `open/${c.id}/payloads`, data })));
	await server.publish(clients.map((c) => ({ topic: `open/${c.id}/payloads`, data: 'the end' })));
	await everyone(async (c) => {
		await until(`${c.name} is through`, async () => (await c.payloads.of('message')).some((e) => e[1] === 'the end'));
		c.read = (await c.payloads.of('message')).map((e) => e[1]).slice(0, -1);
		await c.payloads.close();
	});
}

for (const c of clients)
	test(`E3: ${c.name}: whatever is published arrives ${c.reads ? 'but for empty lines before it' : 'as it was, line ends made LF'}`, () => {
		assert.deepEqual(c.read, PAYLOADS.map(c.reads ?? asRead));
	});

// --- coming back ---

// The spellings of a cursor that a page may have in its address, and which goes stale.
const SPELLINGS = ['after', 'lastEventId', 'last_event_id', 'lastEventID'];

async function resumes() {
	const { ids } = await tell('/back', -1, 1);
	await everyone(async (c, i) => {
		c.streams = [await c.open('/events?topic=T/back'), ...await Promise.all(SPELLINGS.map((s) => c.open(`/events?topic=T/back&${s}=${ids[i]}`)))];
		await Promise.all(c.streams.map((s) => s.is(1, 'fanfare.live')));
	});
	await tell('/back', 0, 10);
	await everyone((c) => Promise.all(c.streams.map((s) => s.is(10))));
	clients.forEach((c) => c.front.cut());
	await tell('/back', 10, 10);
	await everyone((c) => Promise.all(c.streams.map((s) => s.is(20))));

	// Those that outlive a 503 come back from one.
	await Promise.all(clients.filter((c) => c.retries.includes(503)).map(async (c) => {
		const asked = c.front.asked('/back').length;
		c.front.refuses = true;
		c.front.cut();
		await until(`${c.name} is refused`, () => c.front.asked('/back').length >= asked + c.streams.length);
		c.front.refuses = false;
	}));
	await tell('/back', 20, 5);
	await everyone((c) => Promise.all(c.streams.map((s) => s.is(25))));
	await server.restart('SIGKILL');
	await tell('/back', 25, 5);
	await Promise.all(lasting.map((c) => Promise.all(c.streams.map((s) => s.is(30)))));
	await server.restart('SIGTERM');
	await tell('/back', 30, 10);
	await Promise.all(lasting.map((c) => Promise.all(c.streams.map((s) => s.is(40)))));
	await sleep(300);
	await everyone(async (c) => {
		c.back = await Promise.all(c.streams.map((s) => s.log()));
		c.states = await Promise.all(c.streams.map((s) => s.state()));
		await Promise.all(c.streams.map((s) => s.close()));
	});
}

for (const c of lasting) {
	const numbers = Array.from({ length: 40 }, (_, i) => String(i));
	const is = (row) => {
		assert.deepEqual(row.filter((e) => e[0] === 'message').map((e) => e[1]), numbers);
		assert.deepEqual(row.filter((e) => e[0] === 'fanfare.gap'), []);
	};

	test(`${c.name}: a cut, ${c.retries.includes(503) ? 'a 503, ' : ''}a kill and a stop of the server cost nothing, and nothing comes twice`, () => is(c.back[0]));

	SPELLINGS.forEach((spelling, i) => test(`E7: ${c.name}: a page with ${spelling}= in its address gets nothing twice`, () => {
		is(c.back[i + 1]);
		assert.ok(c.front.asked('/back').filter((r) => r.params.has(spelling)).length >= 4);
	}));

	test(`E7: ${c.name} keeps its cursor in ${c.keeps}`, () => {
		const cursors = c.front.asked('/back').map((r) => (c.keeps === 'header' ? r.headers['last-event-id'] : r.params.get(c.keeps)));
		const sent = cursors.filter((v) => /^[0-9a-f]{8}-\d+$/.test(v));

		assert.ok(sent.length >= 3 * c.streams.length, `${sent.length} of ${cursors.length}`);
		if (c.keeps !== 'header')
			assert.deepEqual(c.front.asked('/back').filter((r) => r.headers['last-event-id'] !== undefined), []);
	});

	if (c.kind === 'reconnecting-eventsource')
		test(`E7: ${c.name} sends a stale lastEventId= with the header`, () => {
			assert.ok(c.front.asked('/back').some((r) => r.params.has('lastEventId') && r.headers['last-event-id'] > r.params.get('lastEventId')));
		});
}

for (const c of clients.filter((k) => k.ends === 'over'))
	test(`${c.name}: a stream that the server ends is over, also when it is killed`, () => {
		assert.deepEqual(c.states, c.states.map(() => 2));
		c.back.forEach((row) => assert.equal(row.filter((e) => e[0] === 'message').length, 25));
	});

// --- statuses ---

async function statuses() {
	await everyone(async (c) => {
		c.statuses = {};
		for (const status of STATUSES)
			c.statuses[status] = await c.open(`/status/${status}`);
		c.refused = await c.open('/events?topic=secret');
		c.heard = await c.open('/events?topic=secret&errors=event');
		c.ended = await c.open('/ends?whole');
		c.moved = [await c.open('/moved/301'), await c.open('/moved/307')];
	});
	await sleep(WATCHED_MS);
	await everyone(async (c) => {
		c.retried = STATUSES.filter((status) => c.front.asked(`/status/${status}`).length > 1);
		c.asked = Object.fromEntries(STATUSES.map((status) => [status, c.front.asked(`/status/${status}`).length]));
		c.asked.refused = c.front.requests.filter((r) => r.url === '/events?topic=secret').length;
		c.asked.heard = c.front.asked('errors=event').length;
		c.asked.ended = c.front.asked('/ends?whole').length;
		c.follows = [301, 307].map((code) => c.front.asked(`/moved/${code}`).length === 1 && c.front.asked(`/ends?${code}`).length > 1 && code).filter(Boolean);
		c.told = await c.heard.log();
		for (const s of [...Object.values(c.statuses), c.refused, c.heard, c.ended, ...c.moved])
			await s.close();
	});
}

for (const c of clients) {
	test(`${c.name}: asks again after ${c.retries.join(', ') || 'no status'}`, () => {
		assert.deepEqual(c.retried, c.retries, JSON.stringify(c.asked));
		assert.equal(c.asked.refused > 1, c.retries.includes(401), JSON.stringify(c.asked));
	});

	test(`${c.name}: an end is ${c.ends === 'over' ? 'the end' : 'no end'}`, () => {
		assert.equal(c.asked.ended > 1, c.ends !== 'over', JSON.stringify(c.asked));
	});

	if (c.ends !== 'over')
		test(`${c.name}: comes back to where ${c.moves.join(' and ') || 'no redirect'} led`, () => {
			assert.deepEqual(c.follows, c.moves, JSON.stringify(c.front.requests.map((r) => r.url).filter((u) => /moved|ends.3/.test(u))));
		});

	test(`${c.name}: with errors=event it hears why, and waits long`, () => {
		assert.deepEqual(c.told.map((e) => e[0]), ['fanfare.close']);
		assert.equal(JSON.parse(c.told[0][1]).reason, 'unauthorized');
		assert.equal(c.asked.heard, 1);
	});
}

// --- what one client does ---

for (const c of clients.filter((k) => k.where !== 'worker'))
	test(`${c.name}: takes a token in ${c.bearer ? 'Authorization' : 'the address'}`, LIMIT, async () => {
		const token = mint({ fanfare: { subscribe: ['secret'] } });
		const s = await c.open(`/events?topic=secret${c.bearer ? '' : `&token=${token}`}`, { headers: { Authorization: `Bearer ${token}` } });

		await s.is(1, 'fanfare.live');
		await s.close();
	});

test('reconnecting-eventsource that only has an onmessage forgets the cursor after a status: listen to fanfare.live', LIMIT, async () => {
	const c = new Client('reconnecting-eventsource by onmessage', 'chromium');

	c.id = 'forgetful';
	await c.start();
	const s = await c.open('/events?topic=T');
	await until('it is live', async () => await server.streams() === 1);
	await server.publish('open/forgetful', 'a');
	await s.is(1);
	c.front.refuses = true;
	c.front.cut();
	await until('it is refused', () => c.front.asked('forgetful').length === 2);
	await server.publish('open/forgetful', 'lost');
	c.front.refuses = false;
	await until('it is back', async () => await server.streams() === 1);
	await server.publish('open/forgetful', 'b');
	await s.is(2);
	assert.deepEqual((await s.of('message')).map((e) => e[1]), ['a', 'b']);
	await s.close();
});
