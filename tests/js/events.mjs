// events.mjs - what a browser that is attached to a real server must see: gaps, ends,
// refusals, origins.  E numbers name the demands; E7 and E9 are in clients.mjs, E2 in
// framer.mjs, E4 in check_http_publish_bad.c.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { BROWSERS, LIMIT, Server, finish, launch, mint, openPage, site, sleep, top, until } from './harness.mjs';
import { PAYLOADS, asRead } from './payloads.mjs';

const token = (more = {}) => mint({ fanfare: { subscribe: ['**'], publish: ['**'] }, ...more });
const now = () => Math.floor(Date.now() / 1000);

let allowed, denied;		// two sites with a page each
let exact, any, none;		// servers: one origin may, everybody may, nobody may
const browsers = {};

const make = (name, cors, ...options) => Server.make(name, { isPublic: false,
	options: ['--topics.public=open/**', '--auth.leeway=0', ...(cors === null ? [] : [`--server.cors_origins=${cors}`]), ...options] });

before(async () => {
	// The cookie is for both sites and all servers: a port makes no site.
	const page = { body: '<!doctype html><title>page</title>', headers: { 'Set-Cookie': `fanfare_token=${token()}; Path=/` } };
	allowed = await site({ '/': page, '/next': '<title>next</title>', '/manual': (request, response) => response.end(manualPage()) });
	denied = await site({ '/': page });
	[exact, any, none] = await Promise.all([make('exact', allowed.origin, '--store.retain_events_per_topic=20', '--store.tail=64k'),
		make('any', '*', '--topics.public=open/** scores/**'), make('none', null)]);
	for (const name of BROWSERS)
		browsers[name] = await launch(name, { ignoreDefaultArgs: ['--disable-back-forward-cache'] });
}, LIMIT);

after(finish, LIMIT);

// In a page or frame: a stream whose events stand in self.streams[n] as [name, data, id].
function listen(where, url, { withCredentials = false } = {}) {
	return where.evaluate((u, credentials) => {
		const es = new EventSource(u, { withCredentials: credentials }), log = [];
		for (const name of ['message', 'live', 'gap', 'expiring', 'ping', 'close'].map((n) => (n === 'message' ? n : `fanfare.${n}`)))
			es.addEventListener(name, (e) => log.push([name, name === 'message' ? e.data : JSON.parse(e.data), e.lastEventId]));
		es.onopen = () => log.push(['open']);
		es.onerror = () => log.push(['error', es.readyState]);
		return (self.streams ??= []).push({ es, log }) - 1;
	}, url, withCredentials);
}

const log = (where, n) => where.evaluate((k) => self.streams[k].log, n);
const close = (where, n) => where.evaluate((k) => self.streams[k].es.close(), n);
async function logUntil(where, n, name) {
	return until(`${name} is there`, async () => {
		const l = await log(where, n);
		return l.some((e) => e[0] === name) && l;
	}).catch(async (e) => { throw new Error(`${e.message}: ${JSON.stringify(await log(where, n))}`); });
}

// The first bytes of an answer, as they come.
async function bytes(s, path_, headers = '', enough = (text) => text.includes('\r\n\r\n')) {
	const socket = net.connect(s.port, '127.0.0.1');
	let text = '';
	socket.on('data', (b) => { text += b.toString('utf8'); }).on('error', () => {});
	socket.write(`GET ${path_} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`);
	await until(`an answer to ${path_.slice(0, 100)}`, () => enough(text) || socket.readyState === 'closed');
	socket.destroy();
	return text;
}

// --- E3 ---

for (const name of BROWSERS)
	test(`E3: ${name}: whatever is published arrives as it was, line ends made LF`, LIMIT, async () => {
		const page = await openPage(browsers[name], allowed.origin);
		const n = await listen(page, `${exact.origin}/events?topic=open/${name}/payloads`);
		await logUntil(page, n, 'fanfare.live');
		const { ids } = await exact.publish(PAYLOADS.map((data) => ({ topic: `open/${name}/payloads`, data })));
		const got = await until('all are there', async () => {
			const l = (await log(page, n)).filter((e) => e[0] === 'message');
			return l.length >= PAYLOADS.length && l;
		});
		assert.deepEqual(got, PAYLOADS.map((data, i) => ['message', asRead(data), ids[i]]));
		await page.close();
	});

test('E4: a NUL in data or in a name, and the names open and error, are refused and not stored', LIMIT, async () => {
	const { cursor } = await exact.history('topic=**&limit=1');
	for (const [data, event] of [['a\0b', 'x'], ['a', 'x\0y'], ['a', 'x\ny'], ['a', 'x\ry'], ['a', 'open'], ['a', 'error'], ['a', 'fanfare.x'], ['a', 'x'.repeat(129)]]) {
		const r = await fetch(`${exact.origin}/publish`, { method: 'POST', headers: { authorization: `Bearer ${exact.key}` }, body: JSON.stringify({ topic: 'open/e4', data, event }) });
		assert.equal(r.status, 400, `${data} ${event}`);
	}
	assert.equal((await exact.history('topic=**&limit=1')).cursor, cursor);
});

// --- E8 ---

async function cursors() {
	const { id } = await exact.publish('open/gaps', '0');
	await until('events were pruned', async () => {
		await exact.publish(Array.from({ length: 500 }, (_, i) => ({ topic: 'open/gaps', data: String(i) })));
		return (await exact.history(`topic=open/gaps&after=${id}&limit=1`)).gap !== null;
	});
	const [epoch, seq] = id.split('-');
	return [['unknown', 'banana'], ['unknown', '1234'], ['reset', `${epoch === 'deadbeef' ? 'cafecafe' : 'deadbeef'}-${seq}`],
		['reset', `${epoch}-${Number(seq) + 1e9}`], ['expired', id]];
}

test('E8: a cursor that is unknown, pruned or of another log is told in the first three lines', LIMIT, async () => {
	for (const [reason, cursor] of await cursors())
		for (const [query, header] of [[`&after=${cursor}`, ''], ['', `Last-Event-ID: ${cursor}\r\n`]]) {
			const text = await bytes(exact, `/events?topic=open/gaps${query}`, header, (t) => t.includes('fanfare.gap') && t.endsWith('\n\n'));
			const [first, second, third, fourth] = text.split('\r\n\r\n')[1].split('\n');
			assert.match(`${first}\n${second}`, /^(retry: \d+\n:.*|:.*\nretry: \d+)$/);
			assert.equal(third, 'event: fanfare.gap');
			assert.equal(JSON.parse(fourth.slice('data: '.length)).reason, reason);
		}
});

for (const name of BROWSERS) {
	test(`E8: ${name}: the first event says what is missing`, LIMIT, async () => {
		const page = await openPage(browsers[name], allowed.origin);
		for (const [reason, cursor] of await cursors()) {
			const n = await listen(page, `${exact.origin}/events?topic=open/gaps&after=${cursor}`);
			const [, [event, data]] = await logUntil(page, n, 'fanfare.gap');
			assert.deepEqual([event, data.reason, data.requested, data.topics], ['fanfare.gap', reason, cursor, ['open/gaps']]);
			await close(page, n);
		}
		await page.close();
	});

	test(`E8: ${name}: a page whose server lost its log is told at its first return`, LIMIT, async () => {
		const s = await make(`wiped-${name}`, allowed.origin, '--server.drain_time=1s');
		const page = await openPage(browsers[name], allowed.origin);
		const n = await listen(page, `${s.origin}/events?topic=open/a`);
		await logUntil(page, n, 'fanfare.live');
		await s.publish('open/a', 'old');
		await logUntil(page, n, 'message');
		// Stopped, not killed; and back before the page asks: across origins Firefox
		// takes a refused connection for the end.
		await s.kill('SIGTERM');
		for (const file of fs.readdirSync(s.dir).filter((f) => f.startsWith('fanfare.db')))
			fs.rmSync(path.join(s.dir, file));
		await s.start();
		const after_ = (await logUntil(page, n, 'fanfare.gap')).slice((await log(page, n)).findIndex((e) => e[0] === 'fanfare.close'));
		assert.deepEqual(after_.filter((e) => e[0] !== 'error' && e[0] !== 'open').slice(0, 2).map((e) => [e[0], e[1].reason]),
			[['fanfare.close', 'drain'], ['fanfare.gap', 'reset']]);
		await page.close();
		await s.kill();
	});
}

// --- E11 ---

const [open, told, closed, no] = ['open', 'told', 'closed', 'refused'];
const bearer = () => ({ authorization: `Bearer ${token()}` });
// What is asked, and what comes of it: exact server from the allowed, denied and null
// origin; * from the allowed and null origin; no origins at all.
const MATRIX = [
	['EventSource, public', { es: 'open/a' }, [open, closed, closed, open, open, closed]],
	['EventSource, public, with credentials', { es: 'open/a', withCredentials: true }, [open, closed, closed, closed, closed, closed]],
	['EventSource, private, by cookie', { es: 'secret', withCredentials: true }, [open, closed, closed, closed, closed, closed]],
	['EventSource, private, without a token', { es: 'secret' }, [closed, closed, closed, closed, closed, closed]],
	['EventSource, private, without a token, errors=event', { es: 'secret&errors=event' }, [told, closed, closed, told, told, closed]],
	['fetch, public', { url: '/history?topic=open/a' }, [200, no, no, 200, 200, no]],
	['fetch, private, without a token', { url: '/history?topic=secret' }, [401, no, no, 401, 401, no]],
	['fetch, private, Authorization', { url: '/history?topic=secret', headers: bearer }, [200, no, no, 200, 200, no]],
	['fetch, private, a bad token', { url: '/history?topic=secret', headers: () => ({ authorization: 'Bearer bad' }) }, [401, no, no, 401, 401, no]],
	['fetch, private, by cookie', { url: '/history?topic=secret', credentials: 'include' }, [200, no, no, no, no, no]],
	['fetch of a stream with all the headers', { url: '/events?topic=secret', headers: () => ({ ...bearer(), 'last-event-id': 'x', 'cache-control': 'no-cache', accept: 'text/event-stream' }) }, [200, no, no, 200, 200, no]],
	['fetch, a 404', { url: '/nothing' }, [404, no, no, 404, 404, no]],
	['fetch, a 400', { url: '/history' }, [400, no, no, 400, 400, no]],
	['publish', { url: '/publish', method: 'POST', body: '{"topic":"x","data":1}', headers: () => ({ ...bearer(), 'content-type': 'application/json', 'idempotency-key': 'k' }) }, [200, no, no, 200, 200, no]],
	['publish, by cookie', { url: '/publish', method: 'POST', body: '{"topic":"x","data":1}', credentials: 'include' }, [401, no, no, no, no, no]],
	['a method that is not allowed', { url: '/history?topic=open/a', method: 'DELETE' }, [no, no, no, no, no, no]],
];

function attempt(rows) {
	const stream = ({ url, withCredentials }) => new Promise((resolve) => {
		const es = new EventSource(url, { withCredentials });
		const done = (what) => { es.close(); resolve(what); };
		es.addEventListener('fanfare.live', () => done('open'));
		es.addEventListener('fanfare.close', (e) => done(JSON.parse(e.data).reason === 'unauthorized' ? 'told' : e.data));
		es.onerror = () => es.readyState === 2 && done('closed');
	});
	const request = async ({ url, ...init }) => {
		const stop = new AbortController();
		const r = await fetch(url, { ...init, signal: stop.signal }).catch(() => null);
		if (r === null)
			return 'refused';
		const isProblem = r.headers.get('content-type') === 'application/problem+json';
		const why = isProblem && (await r.json()).code;
		stop.abort();
		if (r.ok === isProblem || (isProblem && !why) || (r.status === 401 && !r.headers.get('www-authenticate')))
			return `${r.status} that cannot be read`;
		return r.status;
	};
	return Promise.all(rows.map((r) => (r.es ? stream(r) : request(r))));
}

for (const name of BROWSERS)
	test(`E11: ${name}: credentials, origins, preflights and errors go together as the matrix says`, LIMIT, async () => {
		const [own, foreign] = [await openPage(browsers[name], allowed.origin), await openPage(browsers[name], denied.origin)];
		await own.evaluate(() => new Promise((resolve) => {
			document.body.append(Object.assign(document.createElement('iframe'), { sandbox: 'allow-scripts', srcdoc: '<p>null', onload: resolve }));
		}));
		const nobody = own.frames().find((f) => f !== own.mainFrame());
		assert.equal(await nobody.evaluate(() => self.origin), 'null');
		const places = [[exact, own], [exact, foreign], [exact, nobody], [any, own], [any, nobody], [none, own]];
		const cells = [];
		for (const [s, where] of places)
			cells.push(await where.evaluate(attempt, MATRIX.map(([, ask]) => (ask.es !== undefined
				? { es: true, url: `${s.origin}/events?topic=${ask.es}`, withCredentials: ask.withCredentials ?? false }
				: { ...ask, url: s.origin + ask.url, headers: ask.headers?.() ?? {} }))));
		assert.deepEqual(MATRIX.map(([what], i) => [what, cells.map((c) => c[i])]), MATRIX.map(([what, , want]) => [what, want]));
		assert.equal((await none.history('topic=x')).events.length, 0, 'what was refused was not done');
		await own.close();
		await foreign.close();
	});

// --- E12 ---

for (const name of BROWSERS)
	test(`E12: ${name}: a token that expires is announced, and then said, before the stream ends`, LIMIT, async () => {
		const page = await openPage(browsers[name], allowed.origin);
		const exp = now() + 4;
		const url = `${exact.origin}/events?topic=secret/e12&token=${token({ exp })}`;
		const [silent, hears] = [await listen(page, url), await listen(page, `${url}&errors=event`)];
		await logUntil(page, hears, 'fanfare.live');
		await logUntil(page, silent, 'fanfare.live');
		await exact.publish('secret/e12', 'in time');
		const warned = (await logUntil(page, silent, 'fanfare.expiring')).find((e) => e[0] === 'fanfare.expiring');
		assert.ok(warned[1].expires_in > 0 && warned[1].expires_in <= 4000);
		await until('it has ended for good', async () => (await log(page, silent)).some((e) => e[1] === 2));
		const seen = await log(page, silent);
		assert.deepEqual(seen.map((e) => [e[0], e[0] === 'fanfare.close' ? e[1].reason : e[0] === 'error' ? e[1] : '']), [['open', ''], ['fanfare.live', ''],
			['message', ''], ['fanfare.expiring', ''], ['fanfare.close', 'expired'], ['error', 0], ['error', 2]]);
		assert.ok(Date.now() / 1000 >= exp);
		// Who asked to hear it hears it, and is still there.
		await until('it is told', async () => (await log(page, hears)).filter((e) => e[0] === 'fanfare.close').length === 2);
		assert.deepEqual((await log(page, hears)).filter((e) => e[0] === 'fanfare.close').map((e) => e[1].reason), ['expired', 'unauthorized']);
		assert.notEqual(await page.evaluate((n) => self.streams[n].es.readyState, hears), 2);
		// A new address, and the last id: nothing is lost.
		await exact.publish('secret/e12', 'meanwhile');
		const id = seen.findLast((e) => e[2])[2];
		const n = await listen(page, `${exact.origin}/events?topic=secret/e12&token=${token()}&after=${id}`);
		assert.deepEqual((await logUntil(page, n, 'fanfare.live')).map((e) => e[0]), ['open', 'message', 'fanfare.live']);
		await page.close();
	});

// --- E13 ---

test('E13: none, two and any garbage for a token: refused at once, and not repeated to whom it may concern', LIMIT, async () => {
	const good = token();
	const bad = ['x', '<script>alert(1)</script>', `${good.slice(0, -3)}xyz`, mint({}, 'another-secret-of-32-bytes-or-more'), `${good}.${good}`,
		'ffk_wrongwrongwrong', '.'.repeat(3000), 'eyJhbGciOiJub25lIn0.e30.', 'A'.repeat(6000), '%22%0d%0aSet-Cookie:x', '\u00e9\u0001'];
	const cpu = () => {
		const fields = fs.readFileSync(`/proc/${exact.process.pid}/stat`, 'utf8').split(') ')[1].split(' ');
		return (Number(fields[11]) + Number(fields[12])) * 10;		// ticks of 10 ms
	};
	const cases = [['/history?topic=secret', '']];
	for (const text of bad) {
		const [inHeader, inAddress] = [Buffer.from(text).toString('latin1').replace(/[^\x20-\xff]/g, ''), encodeURIComponent(text)];
		for (const address of ['/history?topic=secret', '/events?topic=secret'])
			cases.push([address, `Authorization: Bearer ${inHeader}\r\n`], [`${address}&token=${inAddress}`, ''], [address, `Cookie: fanfare_token=${inHeader}\r\n`],
				[`${address}&token=${good}`, `Authorization: Bearer ${inHeader}\r\n`]);
	}
	for (const [address, header] of cases) {
		const text = await bytes(exact, address, `${header}Connection: close\r\n`, () => false);
		assert.match(text, /^HTTP\/1\.1 401 /, `${address.slice(0, 100)} ${header.slice(0, 100)}: ${text.slice(0, 200)}`);
		assert.match(text, /"code":"token_(missing|invalid)"/);
		for (const part of [...bad.filter((b) => b.length > 3), good, good.slice(-20), 'script', 'Set-Cookie', 'AAAA', '....'])
			assert.ok(!text.includes(part), `${part} in ${text}`);
	}

	const before_ = cpu();
	const rounds = 2000;
	await new Promise((resolve, reject) => {
		const socket = net.connect(exact.port, '127.0.0.1');
		let answered = 0;
		const ask = () => socket.write(`GET /history?topic=secret HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bad[2]}${answered}\r\n\r\n`);
		socket.on('error', reject).on('close', () => reject(new Error(`closed after ${answered}`))).on('data', (b) => {
			answered += b.toString('latin1').match(/HTTP\/1\.1 401/g)?.length ?? 0;
			if (answered < rounds)
				ask();
			else
				resolve(socket.removeAllListeners('close').destroy());
		});
		ask();
	});
	const each = (cpu() - before_) / rounds;
	assert.ok(each <= 1, `${each} ms of CPU for each`);
});

// --- E14 ---

for (const name of BROWSERS) {
	const stays = async (page, n = 1) => {
		for (let i = 0; i < n; i++)
			await listen(page, `${any.origin}/events?topic=open/a`);
		await until('it listens', async () => await any.streams() === n);
	};
	const gone = async () => {
		const at = Date.now();
		await until('the server knows', async () => await any.streams() === 0, 1000);
		return Date.now() - at;
	};

	test(`E14: ${name}: a closed tab is off the server's count within a second`, LIMIT, async () => {
		const page = await openPage(browsers[name], allowed.origin);
		await stays(page, 3);
		await page.close();
		await gone();
	});

	test(`E14: ${name}: so is a page that is left and closes its streams in pagehide`, LIMIT, async () => {
		const page = await openPage(browsers[name], allowed.origin);
		await stays(page, 2);
		await page.evaluate(() => addEventListener('pagehide', () => self.streams.forEach(({ es }) => es.close())));
		await page.goto(`${allowed.origin}/next`);
		await gone();
		await page.close();
	});
}

// --- the manual's page ---

// What fanfare-eventsource(7) tells a page to do, word for word.
function manualPage() {
	const manual = fs.readFileSync(path.join(top, 'src', 'fanfare-eventsource.7'), 'utf8');
	const pieces = [...manual.matchAll(/^\.Bd -literal -offset indent\n(.*?)\n\.Ed$/gms)].map((m) => m[1]);
	const code = pieces.join('\n').replace('https://live.example.com', any.origin);

	assert.ok(pieces.length === 2 && code.includes(any.origin));
	return `<!doctype html><title>manual</title><script>const log = [], show = (e) => log.push([e.type, e.data])\n${code}</script>`;
}

for (const name of BROWSERS)
	test(`${name}: the manual's page, across origins, outlives a killed server, and a way back`, LIMIT, async () => {
		const page = await openPage(browsers[name], `${allowed.origin}/manual`);
		const told = () => page.evaluate(() => log.filter((e) => e[0] !== 'fanfare.live').map((e) => e.join(' '))).catch(() => []);
		const publish = (data) => any.publish('scores/7', data, 'goal');

		await until('it is live', () => page.evaluate(() => log.length === 1));
		await publish(1);
		await until('one is there', async () => (await told()).length === 1);
		await any.kill();
		await sleep(2500);
		await any.start();
		await publish(2);
		await until('two are there', async () => (await told()).length === 2);
		assert.deepEqual(await told(), ['goal 1', 'goal 2']);

		await page.goto(`${allowed.origin}/next`);
		await until('the server knows', async () => await any.streams() === 0, 1000);
		await publish(3);
		await page.evaluate(() => { setTimeout(() => history.back(), 0); });
		await until('it is back', async () => await any.streams() === 1);
		await publish(4);
		// Chromium kept the page, which resumes; Firefox loaded it anew.
		const want = name === 'chromium' ? ['goal 1', 'goal 2', 'goal 3', 'goal 4'] : ['goal 4'];
		await until('the last is there', async () => (await told()).length === want.length);
		assert.deepEqual(await told(), want);
		await page.close();
	});
