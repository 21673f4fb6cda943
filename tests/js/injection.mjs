// injection.mjs - I1: whatever a publisher or a subscriber writes, a stream holds the fields
// that fanfare gives it and no other.
//
// Events made of what a stream could trip over are published in every form that there is;
// a parser that is not ours reads them back, as raw events and as envelopes, and each
// must be what was published.  What cannot be told apart from a field is refused.
// FANFARE_TEST_RELEASE=1: a million of them instead of a hundred thousand.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { createParser } from 'eventsource-parser';
import { LIMIT, Server, finish, mint, until } from './harness.mjs';

const RELEASE = process.env.FANFARE_TEST_RELEASE === '1';
const EVENTS = RELEASE ? 1000000 : 100000;
const ILLEGAL = RELEASE ? 20000 : 4000;
const BATCH = 500;
const seed = Number(process.env.FANFARE_TEST_SEED ?? Date.now()) >>> 0;

let state = seed;
function draw(below) {		// mulberry32
	state = (state + 0x6d2b79f5) >>> 0;
	let t = Math.imul(state ^ (state >>> 15), state | 1);
	t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
	return ((t ^ (t >>> 14)) >>> 0) % below;
}
const pick = (list) => list[draw(list.length)];

// What ends a line for some reader; NUL ends it for others.
const BREAKS = ['\n', '\r', '\r\n', '\n\n', '\r\r', '\n\r', '\r\n\r\n', '\n\nevent: evil\n', '\n\nid: 66\ndata: evil\n\n',
	'\r\rdata: evil\r\r', '\nretry: 1\n', '\ndata:', '\n: evil\n', '\n\n\n'];
const CONTROLS = ['\x01', '\x08', '\t', '\x0b', '\x0c', '\x1b[2J', '\x1c', '\x7f', '\u0080', '\u0085', '\u009f'];
const PLAIN = ['event: evil', 'event:evil', 'data: evil', 'data:', 'data', 'id: 66', 'id:', 'id', 'retry: 1', 'retry', ': evil', ':', ' ', '  ',
	'\ufeff', '\ufeffdata: x', '\u2028', '\u2029', '\u2028\u2028event: evil', '\u200b', '\u202e', 'a', '0', 'null', '{"a":1}', '"', '\\', '\\n', '\\r\\n', '%0a',
	'%0D%0A', '&', '=', '+', '&event=evil', '\u00e9', '\u65e5\u672c', '\ud83c\udf89', '\u{10ffff}', '\ufffd', '\uffff', '</script>', 'fanfare.close', 'x'.repeat(300)];
const DATA = [...BREAKS, ...BREAKS, ...CONTROLS, ...PLAIN];
const NAMES = PLAIN.filter((p) => p.length < 30);
const text = (pieces, most) => Array.from({ length: draw(most + 1) }, () => pick(pieces)).join('');
const asRead = (data) => data.replace(/\r\n?/g, '\n');

// An event that must be taken: { topic, name or null, data, value: what data was if JSON }.
function legal() {
	const e = { topic: `i/${text(NAMES, 4)}`, name: text(NAMES, 4), data: text(DATA, 12) };

	if (/^(open|error|fanfare\..*|)$/s.test(e.name) || Buffer.byteLength(e.name) > 128)
		e.name = null;
	if (draw(4) === 0) {
		e.value = draw(2) ? { [text(DATA, 3)]: text(DATA, 5) } : [text(DATA, 5), draw(1000), null];
		e.data = JSON.stringify(e.value);
	}
	return e;
}

// One that must not: a line break, another control character or a NUL where it counts.
function illegal() {
	const e = legal();
	const bad = pick([...BREAKS.filter((b) => b !== ''), ...CONTROLS, '\0']);

	delete e.value;
	switch (draw(3)) {
	case 0:
		e.topic += `${bad}${text(NAMES, 2)}`;
		break;
	case 1:
		e.name = `${text(NAMES, 1)}${bad}${text(NAMES, 1)}`;
		break;
	default:
		e.data += `\0${text(DATA, 3)}`;
	}
	return e;
}

// --- the forms of a publish ---

const object = (e) => JSON.stringify({ topic: e.topic, data: e.value === undefined ? e.data : e.value, ...(e.name === null ? {} : { event: e.name }) });
const form = (e) => new URLSearchParams({ topic: e.topic, data: e.data, ...(e.name === null ? {} : { event: e.name }) }).toString();
const address = (e) => `/publish?${new URLSearchParams({ topic: e.topic, ...(e.name === null ? {} : { event: e.name }) })}`;

const SINGLE = {
	'an object': (e) => ['/publish', 'application/json', object(e)],
	'an object labelled text': (e) => ['/publish', 'text/plain', object(e)],
	'topics': (e) => ['/publish', 'application/json', JSON.stringify({ ...JSON.parse(object(e)), topic: undefined, topics: [e.topic] })],
	// A form and a body are text, whatever they look like.
	'a form': (e) => ['/publish', 'application/x-www-form-urlencoded', form(e), true],
	'the address': (e) => [address(e), 'text/plain', e.data, true],
	'the address, as curl labels it': (e) => [address(e), 'application/x-www-form-urlencoded', e.data, true],
};
const MANY = {
	'an array': (list) => ['/publish', 'application/json', `[${list.map(object).join(',')}]`],
	'lines': (list) => ['/publish', 'application/x-ndjson', list.map(object).join('\n')],
	'lines of CRLF': (list) => ['/publish', 'application/x-ndjson', list.map(object).join('\r\n')],
	'objects in a row': (list) => ['/publish', 'application/json', list.map(object).join('')],
};

let s, agent;

function post([path, type, body]) {
	return new Promise((resolve, reject) => {
		const bytes = Buffer.from(body);
		const rq = http.request({ host: '127.0.0.1', port: s.port, agent, method: 'POST', path,
			headers: { authorization: `Bearer ${s.key}`, 'content-type': type, 'content-length': bytes.length } });
		rq.on('error', reject).on('response', (r) => {
			const parts = [];
			r.on('data', (b) => parts.push(b)).on('end', () => resolve({ status: r.statusCode, body: Buffer.concat(parts).toString() }));
		});
		rq.end(bytes);
	});
}

// A stream and everything that another's parser finds in it.
async function listen(query, headers = {}) {
	const got = [];
	const rq = http.get({ host: '127.0.0.1', port: s.port, path: `/events?${query}`, headers: { authorization: `Bearer ${s.key}`, accept: 'text/event-stream', ...headers } });
	const [r] = await once(rq, 'response');
	const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
	const stream = { got, ended: false, retries: 0, errors: [], close: () => rq.destroy() };
	const parser = createParser({ onEvent: (e) => got.push(e), onRetry: () => stream.retries++, onError: (e) => stream.errors.push(e) });

	assert.equal(r.statusCode, 200);
	rq.on('error', () => {});
	r.on('data', (b) => parser.feed(decoder.decode(b, { stream: true }))).on('end', () => { stream.ended = true; }).on('error', () => {});
	return stream;
}

before(async () => {
	agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
	s = await Server.make('injection', { isPublic: false, options: ['--topics.public=open/**', '--server.max_body=8M', '--stream.max_replay=100000'] });
	console.log(`# FANFARE_TEST_SEED=${seed}`);
}, LIMIT);

after(async () => {
	agent.destroy();
	await finish();
}, LIMIT);

const LONG = { timeout: RELEASE ? 3600000 : 480000 };

test(`I1: of ${EVENTS} events made of line breaks and fields, in every form of a publish, none adds a field to a stream`, LONG, async () => {
	const raw = await listen('topic=i/**'), envelope = await listen('topic=i/**&format=envelope');
	const expected = new Map();		// id -> what was published
	const singles = Object.keys(SINGLE), many = Object.keys(MANY);
	let published = 0, compared = 0, refused = 0;
	const where = () => `seed ${seed}, ${compared} compared`;

	// Each against what was published; what came before its answer waits.
	function compare(stream, isEnvelope) {
		for (; stream.got.length > 0; stream.got.shift()) {
			const e = stream.got[0];
			if (e.event?.startsWith('fanfare.')) {
				assert.equal(e.event, 'fanfare.live', where());
				continue;
			}
			const want = expected.get(e.id);
			if (want === undefined)
				return;
			if (isEnvelope) {
				assert.equal(e.event, undefined, where());
				const read = JSON.parse(e.data);
				assert.deepEqual([read.id, read.topic, read.event, read.data, Object.keys(read).length],
					[e.id, want.topic, want.name, want.value === undefined ? want.data : want.value, 5], where());
			} else
				assert.deepEqual([e.event ?? null, e.data], [want.name, asRead(want.data)], where());
			compared++;
			if (++want.seen === 2)
				expected.delete(e.id);
		}
	}
	const compareAll = () => {
		compare(raw, false);
		compare(envelope, true);
	};

	while (published < EVENTS) {
		// One after the other, and many in one.
		await Promise.all(Array.from({ length: 50 }, async () => {
			const e = legal(), [path, type, body, isText] = SINGLE[pick(singles)](e);
			if (isText) {
				delete e.value;
				if (body === '')
					return;		// an empty body is refused, and says so
			}
			const { status, body: answer } = await post([path, type, body]);
			assert.equal(status, 200, `${answer} ${JSON.stringify(e)}`);
			const { id, ids } = JSON.parse(answer);
			expected.set(id ?? ids[0], { ...e, seen: 0 });
			published++;
		}));
		const list = Array.from({ length: BATCH }, legal);
		const { status, body } = await post(MANY[pick(many)](list));
		assert.equal(status, 200, body);
		JSON.parse(body).ids.forEach((id, i) => expected.set(id, { ...list[i], seen: 0 }));
		published += BATCH;
		if (refused < ILLEGAL)
			await Promise.all(Array.from({ length: Math.ceil(ILLEGAL / (EVENTS / (BATCH + 50))) }, async () => {
				const e = illegal(), form = draw(4) === 0 ? MANY[pick(many)]([legal(), e, legal()]) : SINGLE[pick(singles)](e);
				const { status, body } = await post(form);
				assert.equal(status, 400, `${body} ${JSON.stringify(e)}`);
				refused++;
			}));
		await until('the streams are near', () => {
			compareAll();
			return expected.size < 4 * BATCH;
		});
	}
	await until('all have arrived', () => {
		compareAll();
		return expected.size === 0;
	});
	assert.equal(compared, 2 * published);
	assert.ok(refused >= ILLEGAL);
	for (const stream of [raw, envelope]) {
		assert.deepEqual([stream.got, stream.ended, stream.retries, stream.errors], [[], false, 1, []], where());
		stream.close();
	}
	console.log(`# ${published} published, ${compared} compared, ${refused} refused`);
});

test('I1: bytes that are no UTF-8 are refused in every form', LIMIT, async () => {
	for (const bad of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x80], [0xc0, 0x8a], [0xe0, 0x80, 0x8a]]) {
		const bytes = (before_, after_) => Buffer.concat([Buffer.from(before_), Buffer.from(bad), Buffer.from(after_)]);
		const encoded = bad.map((b) => `%${b.toString(16).padStart(2, '0')}`).join('');
		for (const [path, type, body] of [['/publish', 'application/json', bytes('{"topic":"i/x","data":"', '"}')], ['/publish', 'application/json', bytes('{"topic":"i/', '","data":"x"}')],
			['/publish', 'application/json', bytes('{"topic":"i/x","data":"x","event":"', '"}')], ['/publish', 'application/x-ndjson', bytes('{"topic":"i/x","data":{"', '":1}}')],
			['/publish', 'application/x-www-form-urlencoded', bytes('topic=i/x&data=', '')], ['/publish', 'application/x-www-form-urlencoded', `topic=i/x&data=${encoded}`],
			['/publish?topic=i/x', 'text/plain', bytes('a', 'b')], [`/publish?topic=i/${encoded}`, 'text/plain', 'x'], [`/publish?topic=i/x&event=${encoded}`, 'text/plain', 'x']]) {
			const { status, body: answer } = await post([path, type, body]);
			assert.equal(status, 400, `${path} ${body} ${answer}`);
		}
	}
});

test('I1: control events that repeat what was asked for add no field', LIMIT, async () => {
	const nasty = [...PLAIN.filter((p) => p.length < 30), 'a\u2028\u2028event: evil', '"],"reason":"x"', '\\', 'a b', ':', ': evil', 'data: evil'].map((t) => `open/${t}`);
	const query = new URLSearchParams(nasty.map((t) => ['topic', t]));
	const evil = ['x\nevent: evil', '\r\ndata: evil', '"}\n\n', '\u2028', '\ufeff', '00000000-1\nid: 66', 'a'.repeat(5000)];

	// fanfare.live, and with a cursor that means nothing fanfare.gap.
	for (const cursor of [null, ...evil]) {
		const stream = await listen(`${query}${cursor === null ? '' : `&after=${encodeURIComponent(cursor)}`}`);
		await until('it is live', () => stream.got.some((e) => e.event === 'fanfare.live'));
		assert.deepEqual(stream.got.map((e) => e.event), cursor === null ? ['fanfare.live'] : ['fanfare.gap', 'fanfare.live']);
		for (const e of stream.got) {
			const data = JSON.parse(e.data);
			assert.deepEqual(new Set(data.topics), new Set(nasty));
			if (e.event === 'fanfare.gap') {
				assert.deepEqual(Object.keys(data), ['reason', 'topics', 'requested', 'oldest']);
				assert.deepEqual([data.reason, data.requested, e.id], ['unknown', null, undefined]);
			}
		}
		assert.deepEqual([stream.retries, stream.errors], [1, []]);
		stream.close();
	}
	// fanfare.close, with the topic that is forbidden.
	for (const topic of nasty.map((t) => t.replace('open/', 'secret/'))) {
		const stream = await listen(`${new URLSearchParams({ topic })}&errors=event`, { authorization: `Bearer ${mint({ fanfare: { subscribe: ['x'] } })}` });
		await until('it ends', () => stream.ended);
		assert.equal(stream.got.length, 1, topic);
		const [{ event, id, data }] = stream.got;
		assert.deepEqual([event, id, JSON.parse(data).topic, stream.retries, stream.errors], ['fanfare.close', undefined, topic, 1, []]);
	}
	// And a token that is anything at all.
	for (const token of evil) {
		const stream = await listen(`topic=secret&errors=event&token=${encodeURIComponent(token)}`, { authorization: '' });
		await until('it ends', () => stream.ended);
		assert.deepEqual(stream.got.map((e) => [e.event, JSON.parse(e.data).reason]), [['fanfare.close', 'unauthorized']]);
		assert.deepEqual([stream.retries, stream.errors], [1, []]);
	}
});
