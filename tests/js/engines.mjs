// engines.mjs - what EventSource does in real browsers: a row for each claim that
// fanfare-eventsource(7) and the server rest on, against answers scripted byte by byte.
// A row that fails here means that an engine has changed, not that fanfare has.
//
// All rows of one browser run at the same time in one page, each on a port of its own,
// because a browser opens six connections to one host and port.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { BROWSERS, LIMIT, atEnd, finish, launch, openPage, run, site, sleep, tmp, until } from './harness.mjs';

// --- answers ---

const CORS = { 'Access-Control-Allow-Origin': '*' };

const head = (status, headers) => [`HTTP/1.1 ${status} X`, ...Object.entries({ Connection: 'close', ...headers })
	.filter(([, v]) => v !== null).map(([k, v]) => `${k}: ${v}`), '', ''].join('\r\n');

// A stream: `body` is text, bytes, or a list of both and of milliseconds to wait.
// At its end the connection ends (fin), breaks (rst), or stays (hold).
const stream = (body, { type = 'text/event-stream', headers = CORS, end = 'fin', status = 200 } = {}) =>
	({ bytes: [head(status, { 'Content-Type': type, ...headers }), ...[body].flat()], end });
const plain = (status, headers = {}) => ({ bytes: [head(status, { 'Content-Length': status === 204 ? null : '0', ...CORS, ...headers })], end: 'fin' });
const raw = (bytes, end = 'fin') => ({ bytes: [bytes].flat(), end });
const DEAF = { bytes: [], end: 'deaf' };	// nobody listens for a while
const RESET = { bytes: [], end: 'rst' };
const END = stream('event: end\ndata: .\n\n', { end: 'hold' });
const SHORT = 'retry: 500\n';		// the least that Firefox waits

// --- the rows ---
//
// send: the answers, first request first; after them END, on which the page closes.  A
// text is the body of a stream that ends.  want: what must be seen in both engines, and
// under `chromium` or `firefox` what differs there:
//   fate      back: END was reached.  closed: readyState 2.  waits: neither within limit
//   events    type|data|lastEventId of each event before END
//   cursor    Last-Event-ID of the last request, null for none
//   waits     least and most milliseconds from each answer's end to the next request
//   quickest  the same for the shortest of these, whatever else the machine has to do
//   asked     how many requests
//   paths, headers (of the first request), preflights, opens, early, length

const ids = (...list) => list.map((id) => `id: ${id}\ndata: ${id}\n\n`).join('');
const rows = [];
const claim = (is, send, want, { chromium, firefox, ...more } = {}) => rows.push({ is, want, chromium, firefox,
	send: [send].flat(1).map((a) => (typeof a === 'string' || Buffer.isBuffer(a) ? stream([SHORT, a]) : a)), limit: 12000, names: [], at: 'own', ...more });

// Answers that end it, and such that do not.
for (const status of [204, 205, 304, 400, 401, 403, 404, 410, 429, 500, 502, 503, 504]) {
	claim(`a first answer ${status} ends it for good`, [plain(status)], { fate: 'closed', opens: 0 });
	claim(`a reconnect that is answered ${status} ends it for good`, [ids(1), plain(status)],
		{ fate: 'closed', cursor: '1', opens: 1, events: ['message|1|1'] });
}
claim('a 200 with an event ends and it comes back', [ids(1)], { fate: 'back', cursor: '1' });
claim('a 200 without a byte ends and it comes back', [stream('')], { fate: 'back', cursor: null });
claim('201 ends it, stream or not', [stream(ids(1), { status: 201 })], { fate: 'closed' });
claim('206 ends it, stream or not', [stream(ids(1), { status: 206 })], { fate: 'closed' });
claim('a reset in the middle does not end it', [stream([SHORT, ids(1), 50], { end: 'rst' })], { fate: 'back', cursor: '1' });
// A connection that brings no answer.  Firefox asks anew, at once and some ten times, when
// one is reset or closed; then it gives up across origins, and waits for retry within one.
const many = (answer) => [ids(1), ...Array(14).fill(answer)];
for (const [what, send] of [['a refused reconnect', [{ ...stream([SHORT, ids(1)]), end: 'deaf' }]], ['a reconnect that is reset', many(RESET)],
	['a reconnect that is closed without a byte', many(raw(''))], ['a reconnect that is reset in the head', [ids(1), raw('HTTP/1.1 200 O', 'rst')]]]) {
	claim(`${what}, same origin`, send, { fate: 'back', cursor: '1' }, { at: 'self' });
	claim(`${what}, across origins`, send, { fate: 'back', cursor: '1' }, { firefox: { fate: 'closed', cursor: undefined } });
}
claim('a reconnect that is answered by no HTTP', [ids(1), raw('hello\r\n\r\n')], { fate: 'back', cursor: '1' }, { at: 'self', firefox: { fate: 'closed' } });
claim('a refused first connection, across origins', [DEAF], { fate: 'back' }, { firefox: { fate: 'closed' } });
claim('a whole Content-Length body ends like any stream', [stream('retry: 500\ndata: a\n\n', { headers: { ...CORS, 'Content-Length': 20 } })],
	{ fate: 'back', events: ['message|a|'] });
claim('a Content-Length body cut short does not end it', [stream('retry: 500\ndata: a\n\n', { headers: { ...CORS, 'Content-Length': 99 } })],
	{ fate: 'back', events: ['message|a|'] });
claim('the last chunk of a chunked answer ends like any stream',
	[stream('14\r\nretry: 500\ndata: a\n\n\r\n0\r\n\r\n', { headers: { ...CORS, 'Transfer-Encoding': 'chunked' } })], { fate: 'back', events: ['message|a|'] });
claim('a chunked answer cut between chunks does not end it',
	[stream('14\r\nretry: 500\ndata: a\n\n\r\n', { headers: { ...CORS, 'Transfer-Encoding': 'chunked' } })], { fate: 'back', events: ['message|a|'] });
claim('a name that does not resolve', [], { fate: 'waits' }, { at: 'nowhere', limit: 4000, firefox: { fate: 'closed' } });

// When it comes back.
const DEFAULT = { chromium: [2900, 4800], firefox: [4900, 7500] };
const after_ = (is, body, ...want) => claim(is, [stream(body), stream('')], { quickest: want[0] }, want[1] && { firefox: { quickest: want[1] }, limit: 20000 });
after_('without retry it comes back after its default', ids(1), DEFAULT.chromium, DEFAULT.firefox);
after_('retry needs no blank line', 'retry: 800\n', [790, 1500]);
after_('retry needs an end of its line', 'retry: 800', DEFAULT.chromium, DEFAULT.firefox);
after_('retry needs no space', 'retry:800\n', [790, 1500]);
after_('retry below half a second', 'retry: 100\n', [90, 400], [480, 1000]);
after_('retry 0', 'retry: 0\n', [0, 400], [480, 1000]);
after_('an empty retry', 'retry: 1500\nretry:\n', DEFAULT.chromium, [480, 1300]);
after_('retry of 2^64+800', 'retry: 18446744073709552416\n', DEFAULT.chromium, [790, 1500]);
claim('retry of 2^32+800', [stream('retry: 4294968096\n')], { fate: 'waits' }, { limit: 7000, firefox: { fate: 'back', waits: [790, 2500] } });
for (const junk of ['4000x', '-4000', '+4000', '4e3', '4000.5', '0xfa0', ' 4000', '4000 ', '\uff14\uff10\uff10\uff10'])
	after_(`retry of "${junk}" is ignored`, `retry: 800\nretry: ${junk}\n`, [790, 2000]);
claim('reconnects that fail are not slower: no backoff', [stream('retry: 600\n'), ...Array(5).fill(raw('HTTP/1.1 200 O', 'rst'))], { fate: 'back', waits: [590, 2000] }, { at: 'self' });
claim('a reconnect that is reset: how often it is asked before it gives up, across origins', many(RESET), { asked: 16 }, { firefox: { asked: 11 } });

// Lines and fields.
const line = (is, body, events, more = {}, differs) => claim(is, [body], { fate: 'back', events, ...more }, differs);
line('LF ends a line', 'data: a\ndata: b\n\n', ['message|a\nb|']);
line('CR ends a line', 'data: a\rdata: b\r\rdata: c\r\r', ['message|a\nb|', 'message|c|']);
line('CRLF ends a line', 'data: a\r\ndata: b\r\n\r\n', ['message|a\nb|']);
line('all three may be mixed', 'data: a\rdata: b\r\ndata: c\n\r\ndata: d\n\r', ['message|a\nb\nc|', 'message|d|']);
claim('CR and LF in two packets are one end', [stream([SHORT, 'data: a\r', 60, '\ndata: b\n\n'])], { events: ['message|a\nb|'] });
claim('a packet may end in the middle of a character', [stream([SHORT, 'data: ', Buffer.from([0xe2, 0x82]), 60, Buffer.from([0xac]), '\n\n'])], { events: ['message|\u20ac|'] });
claim('a byte order mark at the start is dropped', [stream('\ufeffdata: a\nretry: 500\n\n')], { events: ['message|a|'] });
claim('a second byte order mark makes the field unknown', [stream('\ufeff\ufeffdata: a\nretry: 500\n\n')], { events: [] });
claim('a byte order mark is dropped on a reconnect too', [stream('\ufeffretry: 500\ndata: a\n\n'), stream('\ufeffdata: b\n\n')], { events: ['message|a|', 'message|b|'] });
line('a byte order mark later stays', 'data: \ufeffa\n\n\ufeffdata: b\n\n', ['message|\ufeffa|']);
line('one leading space of a value is dropped', 'data:a\ndata: b\ndata:  c\ndata:\td\n\n', ['message|a\nb\n c\n\td|']);
line('a trailing space stays', 'data: a \n\n', ['message|a |']);
line('data without a colon is an empty line', 'data\n\n', ['message||']);
line('an empty data line is an event', 'data:\n\n', ['message||']);
line('two empty data lines are a line feed', 'data:\ndata:\n\n', ['message|\n|']);
line('a block without data is no event', 'event: x\n\ndata: a\n\n', ['message|a|'], {}, { names: ['x'] });
line('event holds for its block only', 'event: x\ndata: a\n\ndata: b\n\n', ['x|a|', 'message|b|'], {}, { names: ['x'] });
line('an empty event is a message', 'event: x\nevent:\ndata: a\n\n', ['message|a|'], {}, { names: ['x', ''] });
line('the last of two event lines counts', 'event: x\nevent: y\ndata: a\n\n', ['y|a|'], {}, { names: ['x', 'y'] });
line('an event called error reaches onerror', 'event: error\ndata: a\n\n', ['error|a|']);
line('an event called open reaches onopen', 'event: open\ndata: a\n\n', ['open|a|']);
line('a named event does not reach onmessage', 'event: fanfare.live\nid: 1\ndata: {}\n\n', [], { cursor: '1' });
line('names of fields know upper case, and spaces before them', 'Data: a\nDATA: b\n data: c\ndata : d\ndata: e\n\n', ['message|e|']);
line('unknown fields are ignored', 'heartbeatTimeout: 9\nfoo\n:\ndata: a\n\n', ['message|a|']);
line('U+2028, U+2029, U+0085, VT and FF end no line', 'data: a\u2028b\u2029c\u0085d\u000be\u000cf\n\n', ['message|a\u2028b\u2029c\u0085d\u000be\u000cf|']);
line('invalid UTF-8 becomes U+FFFD', Buffer.from('data: a\xff\xc0\x80\xed\xa0\x80b\n\n', 'latin1'), ['message|a\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdb|']);
line('an unfinished character does not swallow the end of its line', Buffer.from('data: a\xe2\x82\n\ndata: b\n\n', 'latin1'), ['message|a\ufffd|', 'message|b|']);
line('a NUL in data', 'data: a\0b\n\n', ['message|a\0b|'], {}, { firefox: { events: ['message|ab|'] } });
line('a NUL in the name of an event', 'event: x\0y\ndata: a\n\n', ['x\0y|a|'], {}, { names: ['x', 'xy', 'x\0y'], firefox: { events: ['xy|a|'] } });
line('a NUL in the name of a field', 'da\0ta: a\n\n', []);
line('an event of four megabytes arrives whole', `data: ${'0123456789abcdef'.repeat(1 << 18)}\n\n`, undefined, { length: 1 << 22 });

// Comments.
line('comments without a blank line do nothing, before, in and after a block', ': hb\n: hb\nid: 1\n: hb\ndata: a\n: hb\n\n: hb\n', ['message|a|1'], { cursor: '1' });
line('a comment with a blank line delivers nothing', ': hb\n\n: hb\n\nid: 1\ndata: a\n\n: hb\n\n', ['message|a|1'], { cursor: '1' });
line('blank lines deliver nothing', '\n\n\n\ndata: a\n\n\n\n', ['message|a|']);

// Ids.
line('an id stays for later events and connections', 'id: 1\ndata: a\n\ndata: b\n\n', ['message|a|1', 'message|b|1'], { cursor: '1' });
claim('an id stays over a connection without one', [ids(1), 'data: b\n\n', ': hb\n'], { events: ['message|1|1', 'message|b|1'], cursor: '1' });
line('an event cut off at the end is discarded and moves no cursor', 'id: 1\ndata: a\n\nid: 2\ndata: b\n', ['message|a|1'], { cursor: '1' });
line('nor does a cut line', 'id: 1\ndata: a\n\nid: 2\ndata: b', ['message|a|1'], { cursor: '1' });
line('a block of only an id', 'id: 1\ndata: a\n\nid: 2\n\n', ['message|a|1'], { cursor: '2' }, { firefox: { cursor: '1' } });
line('a block of only an id, then an event without', 'id: 1\ndata: a\n\nid: 2\n\ndata: b\n\n', ['message|a|1', 'message|b|2'], { cursor: '2' },
	{ firefox: { events: ['message|a|1', 'message|b|1'], cursor: '1' } });
line('a named event that nobody wants moves the cursor', 'id: 1\ndata: a\n\nevent: x\nid: 2\ndata: b\n\n', ['message|a|1'], { cursor: '2' });
line('an empty id forgets it', 'id: 1\ndata: a\n\nid:\ndata: b\n\n', ['message|a|1', 'message|b|'], { cursor: null });
line('id without a colon forgets it', 'id: 1\ndata: a\n\nid\ndata: b\n\n', ['message|a|1', 'message|b|'], { cursor: null });
line('an id with a NUL is ignored; its event', 'id: 1\ndata: a\n\nid: 2\0\ndata: b\n\ndata: c\n\n', ['message|a|1', 'message|b|1', 'message|c|1'], { cursor: '1' },
	{ firefox: { events: ['message|a|1', 'message|c|1'] } });
line('the last of two ids counts', 'id: 1\nid: 2\ndata: a\n\n', ['message|a|2'], { cursor: '2' });
line('an id keeps its spaces in the event', 'id:  1 2 \ndata: a\n\n', ['message|a| 1 2 '], { cursor: '1 2' });
for (const [what, id] of [['beyond ASCII', '\u00e9\u20ac\ud83c\udf89'], ['of 129 bytes', 'x'.repeat(129)], ['of 4,000 bytes', 'x'.repeat(4000)],
	['of bytes that CORS calls unsafe', '1"():<>?@[\\]{}\x7f\x01'], ['like ours', '6f3a9c2e-1042']])
	claim(`an id ${what} comes back byte for byte and without a preflight`, [ids(id)], { fate: 'back', cursor: id, preflights: 0 });

// The head of the answer.
const utf8 = 'id: 1\ndata: \u00e9\n\n';
const opens = { fate: 'back', events: ['message|\u00e9|1'] };
for (const type of ['text/event-stream', 'text/event-stream;charset=utf-8', 'text/event-stream; charset=UTF-8', 'text/event-stream; charset="utf-8"',
	'text/event-stream; foo=bar', 'TEXT/Event-Stream', 'text/event-stream;', 'text/event-stream; charset='])
	claim(`Content-Type ${type} is taken`, [stream([SHORT, utf8], { type })], opens);
for (const type of ['text/event-stream; charset=iso-8859-1', 'text/event-stream; charset=utf8', 'text/event-stream; charset=windows-1252'])
	claim(`Content-Type ${type}`, [stream([SHORT, utf8], { type })], { fate: 'closed' }, { firefox: opens });
for (const type of ['text/plain', 'application/json', 'text/event-streams', 'text/event-stream, text/plain', '', null])
	claim(`Content-Type ${type} ends it`, [stream([SHORT, utf8], { type })], { fate: 'closed' });
claim('open comes with the head, before a byte of the body', [stream([700, SHORT, ids(1)])], { early: true }, { firefox: { early: false } });
claim('no status and no header is told', [plain(503, { 'Retry-After': '1' })], { errorKeys: ['isTrusted'] });
for (const status of [301, 302, 303, 307, 308])
	claim(`${status} is followed; the reconnect`, [plain(status, { Location: 'final' }), ids(1)], { fate: 'back', cursor: '1', paths: ['', 'final', 'final'] },
		[301, 308].includes(status) ? {} : { firefox: { paths: ['', 'final', ''] } });

// The request.
claim('every request asks for the same address, and for an event stream, past caches', [ids(1), ids(2)], { cursor: '2', paths: ['', '', ''],
	headers: { accept: 'text/event-stream', 'cache-control': 'no-cache', pragma: 'no-cache', 'last-event-id': undefined, cookie: undefined } });
claim('no cache is asked, whatever the answer allows', [stream([SHORT, ids(1)], { headers: { ...CORS, 'Cache-Control': 'max-age=1000', ETag: '"x"' } })],
	{ fate: 'back', cursor: '1', paths: ['', ''] });
claim('a cursor in the address goes stale: the header goes with it', [ids(2)], { cursor: '2', paths: ['?lastEventId=1', '?lastEventId=1'] }, { query: '?lastEventId=1' });
claim('same origin: cookies go, Origin does not', [ids(1)], { fate: 'back', headers: { cookie: 'c=1', origin: undefined } }, { at: 'page' });

// Across origins.  (A port makes an origin, but not a site: the page's cookie is for all.)
const exact = { 'Access-Control-Allow-Origin': 'PAGE' };
const withCookies = { ...exact, 'Access-Control-Allow-Credentials': 'true' };
const cors = (is, headers, credentials, want) => claim(is, [stream([SHORT, ids(1)], { headers }), stream('event: end\ndata: .\n\n', { headers, end: 'hold' })],
	{ preflights: 0, ...want }, { credentials });
cors('without withCredentials * is enough, and no cookie goes', CORS, false, { fate: 'back', headers: { cookie: undefined, origin: 'PAGE' } });
cors('withCredentials sends cookies and takes the exact origin', withCookies, true, { fate: 'back', headers: { cookie: 'c=1', origin: 'PAGE' } });
cors('withCredentials refuses *', { ...CORS, 'Access-Control-Allow-Credentials': 'true' }, true, { fate: 'closed' });
cors('withCredentials refuses an answer that does not allow credentials', exact, true, { fate: 'closed' });
cors('no Access-Control-Allow-Origin ends it', {}, false, { fate: 'closed' });
cors('another origin there ends it', { 'Access-Control-Allow-Origin': 'https://app.example' }, false, { fate: 'closed' });
cors('null there ends it', { 'Access-Control-Allow-Origin': 'null' }, false, { fate: 'closed' });
claim('a reconnect that CORS refuses ends it', [ids(1), stream('', { headers: {} })], { fate: 'closed', cursor: '1' });
claim('a SameSite=Lax cookie does not travel to another site', [stream([SHORT, ids(1)], { headers: withCookies }), stream('event: end\ndata: .\n\n', { headers: withCookies, end: 'hold' })],
	{ fate: 'back', headers: { cookie: undefined, 'sec-fetch-site': 'cross-site' } }, { credentials: true, at: 'localhost' });

// --- the server: plays each row's answers, and notes what was asked ---

// What one browser did: for each row its requests, and the times its answers ended.
class Stage {
	constructor() {
		this.acts = rows.map((row) => ({ row, requests: [], ends: [], preflights: 0 }));
	}

	async open() {
		this.page = await this.listen();
		for (const act of this.acts) {
			act.server = await this.listen(act);
			const host = { own: `127.0.0.1:${act.server.port}`, localhost: `localhost:${act.server.port}`,
				self: `127.0.0.1:${act.server.port}`,
				page: `127.0.0.1:${this.page.port}`, nowhere: 'nowhere.invalid' }[act.row.at];
			act.base = `/${this.acts.indexOf(act)}/`;
			act.url = `http://${host}${act.base}${act.row.query ?? ''}`;
			if (act.row.send[0] === DEAF) {
				act.ends.push(Date.now());
				this.deafen(act);
			}
		}
		this.origin = `http://127.0.0.1:${this.page.port}`;
	}

	async listen() {
		const server = net.createServer((socket) => this.converse(socket)).listen(0, '127.0.0.1');

		await once(server, 'listening');
		server.port = server.address().port;
		server.held = new Set();
		atEnd(() => { server.close(); server.held.forEach((s) => s.destroy()); });
		server.on('connection', (s) => { server.held.add(s); s.on('close', () => server.held.delete(s)); });
		return server;
	}

	deafen(act) {
		act.server.close();
		setTimeout(() => act.server.listen(act.server.port, '127.0.0.1'), 1500);
	}

	converse(socket) {
		let text = '';

		socket.on('error', () => {});
		socket.on('data', (bytes) => {
			text += bytes.toString('latin1');
			if (!text.endsWith('\r\n\r\n'))
				return;
			const [first, ...lines] = text.trimEnd().split('\r\n');
			const [method, path] = first.split(' ');
			const headers = Object.fromEntries(lines.map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 1).trim()]));
			text = '';
			this.answer(socket, { method, path, headers, at: Date.now() }).catch((e) => socket.destroy(e));
		});
	}

	async answer(socket, request) {
		const act = this.acts[Number(request.path.split('/')[1] || NaN)];

		if (act === undefined)
			return void socket.end(`${head(200, { 'Content-Type': 'text/html', 'Set-Cookie': 'c=1; SameSite=Lax; Path=/' })}<title>engines</title>`);
		if (request.method === 'OPTIONS') {
			act.preflights++;
			return void socket.end(head(204, { ...CORS, 'Access-Control-Allow-Headers': '*' }));
		}
		const answers = act.row.send[0] === DEAF ? act.row.send.slice(1) : act.row.send;
		const { bytes, end } = answers[act.requests.length] ?? END;
		act.requests.push(request);
		for (const part of bytes) {
			if (typeof part === 'number')
				await sleep(part);
			else
				socket.write(typeof part === 'string' ? part.replace('Allow-Origin: PAGE', `Allow-Origin: ${this.origin}`) : part);
		}
		if (end === 'hold')
			return;
		if (end === 'rst') {
			await sleep(20);		// let the bytes be read first
			socket.resetAndDestroy();
		} else
			socket.end();
		if (end === 'deaf')
			this.deafen(act);
		act.ends.push(Date.now());
	}
}

// --- in the page ---

function watch(cases) {
	return Promise.all(cases.map(({ url, credentials, names, limit }) => new Promise((resolve) => {
		const events = [], opened = [];
		const es = new EventSource(url, { withCredentials: credentials });
		let firstAt = 0, length = 0, errorKeys;
		const done = (fate) => {
			clearTimeout(timer);
			es.close();
			resolve({ fate, events, length, errorKeys, opens: opened.length, early: firstAt - opened[0] > 300 });
		};
		const timer = setTimeout(done, limit, 'waits');
		const note = (e) => {
			if (e.data === undefined)
				return;
			firstAt ||= performance.now();
			length += e.data.length;
			events.push(`${e.type}|${e.data.length > 100 ? 'long' : e.data}|${e.lastEventId}`);
		};
		new Set(['message', 'open', 'error', ...names]).forEach((name) => es.addEventListener(name, note));
		es.addEventListener('open', (e) => e.data === undefined && opened.push(performance.now()));
		es.addEventListener('error', (e) => {
			errorKeys = [...new Set([...Object.keys(e), ...Object.keys(Object.getOwnPropertyDescriptors(e))])];
			if (es.readyState === 2)
				done('closed');
		});
		es.addEventListener('end', () => done('back'));
	})));
}

// `where` is a page or a frame.
async function see(where, acts) {
	const seen = await where.evaluate(watch, acts.map(({ url, row }) => ({ url, names: row.names, limit: row.limit, credentials: row.credentials })));

	acts.forEach((act, i) => Object.assign(act, { seen: seen[i] }));
}

const stages = {};
const browsers = {};

async function play(name) {
	const stage = stages[name] = new Stage();
	const browser = browsers[name] = await launch(name, { ignoreDefaultArgs: ['--disable-back-forward-cache'] });
	await stage.open();
	const page = await browser.newPage();
	await page.goto(`http://localhost:${stage.acts[0].server.port}/`);	// for its cookie
	await page.goto(`${stage.origin}/`);
	await Promise.all([
		see(page, stage.acts.filter(({ row }) => row.at !== 'self')),
		...stage.acts.filter(({ row }) => row.at === 'self').map(async (act) => {
			const src = `http://127.0.0.1:${act.server.port}/`;
			await page.evaluate((url) => new Promise((resolve) => {
				document.body.append(Object.assign(document.createElement('iframe'), { src: url, onload: resolve }));
			}), src);
			await see(page.frames().find((f) => f.url() === src), [act]);
		}),
	]);
	await page.close();
}

before(async () => {
	for (const name of BROWSERS)
		await play(name);
}, LIMIT);

after(finish, LIMIT);

// What is wanted, as it was seen.
function measured(stage, { seen, requests, ends, preflights, base }, want) {
	const waits = requests.slice(requests.length === ends.length ? 0 : 1).map((r, i) => r.at - ends[i]);
	const within = (ms, [least, most]) => ms >= least - 5 && ms <= most;
	const all = {
		...seen, preflights,
		cursor: () => (requests.at(-1).headers['last-event-id'] === undefined ? null : Buffer.from(requests.at(-1).headers['last-event-id'], 'latin1').toString()),
		paths: () => requests.map((r) => r.path.replace(base, '')),
		headers: () => Object.fromEntries(Object.keys(want.headers).map((k) => [k, requests[0].headers[k]?.replace(stage.origin, 'PAGE')])),
		asked: requests.length,
		waits: () => (waits.every((ms) => within(ms, want.waits)) ? want.waits : waits),
		quickest: () => (within(Math.min(...waits), want.quickest) ? want.quickest : waits),
	};

	return Object.fromEntries(Object.keys(want).map((k) => [k, typeof all[k] === 'function' ? all[k]() : all[k]]));
}

for (const name of BROWSERS)
	rows.forEach((row, i) => test(`${name}: ${row.is}`, () => {
		const want = Object.fromEntries(Object.entries({ ...row.want, ...row[name] }).filter(([, v]) => v !== undefined));

		assert.deepEqual(measured(stages[name], stages[name].acts[i], want), want);
	}));

// --- what one row cannot show ---

// A site with a page that opens a stream by itself, and one that does not.
async function streams() {
	const s = await site({
		'/': '<title>quiet</title>',
		'/listens': `<title>listens</title><script>
			const es = new EventSource('/stream'), shown = [], got = [];
			es.onmessage = (e) => got.push(e.data);
			addEventListener('pageshow', (e) => shown.push(e.persisted));
		</script>`,
		'/stream': (request, response) => {
			s.asked++;
			s.open.add(response);
			response.on('close', () => { s.open.delete(response); s.closedAt = Date.now(); });
			response.writeHead(200, { 'content-type': 'text/event-stream', 'access-control-allow-origin': '*' }).write('retry: 500\nid: 1\ndata: a\n\n');
		},
	});
	return Object.assign(s, { open: new Set(), asked: 0, write: (text) => s.open.forEach((r) => r.write(text)) });
}

const KEEPS = { chromium: true, firefox: false };

for (const name of BROWSERS) {
	test(`${name}: every request is a GET without a preflight`, () => {
		for (const { row, requests, preflights } of stages[name].acts) {
			assert.equal(preflights, 0, row.is);
			requests.forEach((r) => assert.equal(r.method, 'GET', row.is));
		}
	});

	test(`${name}: six connections to one host and port for all tabs, as many again to the next`, LIMIT, async () => {
		const [s, other] = [await streams(), await streams()];
		const tabs = [await openPage(browsers[name], s.origin), await openPage(browsers[name], s.origin)];
		const add = (tab, url, n) => tab.evaluate((u, k) => {
			self.held = [...(self.held ?? []), ...Array.from({ length: k }, () => new EventSource(u))];
		}, url, n);

		await add(tabs[0], '/stream', 4);
		await until('four are open', () => s.open.size === 4);
		await add(tabs[1], '/stream', 4);
		await until('six are open', () => s.open.size === 6);
		await add(tabs[1], `${other.origin}/stream`, 6);
		await until('six are open on another port', () => other.open.size === 6);
		assert.equal(await tabs[1].evaluate(() => Promise.race([fetch('/').then(() => 'answered'), new Promise((r) => setTimeout(r, 700, 'waits'))])), 'waits');
		assert.deepEqual([s.open.size, s.asked], [6, 6]);
		await tabs[0].evaluate(() => self.held[0].close());
		await until('one that waited is let in', () => s.asked === 7 && s.open.size === 6);
		for (const tab of tabs)
			await tab.close();
		await until('a tab that is closed ends its streams', () => s.open.size + other.open.size === 0);
	});

	test(`${name}: over HTTP/2 a hundred streams share one connection`, LIMIT, async () => {
		const [key, cert] = ['key', 'cert'].map((f) => path.join(tmp, `${name}-${f}.pem`));
		const made = await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, '-subj', '/CN=127.0.0.1']);
		assert.equal(made.code, 0, made.stderr);
		const s = http2.createSecureServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert), settings: { maxConcurrentStreams: 128 } });
		let open = 0;
		const sessions = new Set();
		s.on('session', (session) => { sessions.add(session); });
		s.on('stream', (h2, headers) => {
			const isStream = headers[':path'].startsWith('/stream');
			h2.on('error', () => {}).on('close', () => { open -= isStream; });
			open += isStream;
			h2.respond({ ':status': 200, 'content-type': isStream ? 'text/event-stream' : 'text/html' });
			if (isStream)
				h2.write('data: a\n\n');
			else
				h2.end('<title>two</title>');
		}).listen(0, '127.0.0.1');
		await once(s, 'listening');
		atEnd(() => { sessions.forEach((session) => session.destroy()); s.close(); });
		const page = await openPage(browsers[name], `https://127.0.0.1:${s.address().port}/`);
		const carrying = () => [...sessions].filter((session) => !session.destroyed).length;
		await page.evaluate(() => { self.held = Array.from({ length: 100 }, (_, i) => new EventSource(`/stream?${i}`)); });
		await until('a hundred are open', () => open === 100);
		assert.equal(carrying(), 1);
		await page.close();
	});

	// Chromium keeps the page, the connection, and up to about a megabyte that comes;
	// Firefox keeps no page that has a stream, and loads it anew.
	test(`${name}: a page that is left ${KEEPS[name] ? 'keeps' : 'ends'} its stream; the way back`, LIMIT, async () => {
		const s = await streams();
		const page = await openPage(browsers[name], `${s.origin}/listens`);
		const leave = async () => {
			await until('it listens', () => s.open.size === 1);
			s.leftAt = Date.now();
			await page.goto(`${s.origin}/`);
		};
		const comeBack = async () => {
			await page.evaluate(() => { setTimeout(() => history.back(), 0); });
			await until('it is back', () => page.evaluate(() => typeof shown !== 'undefined' && shown.length > 0 && es.readyState === 1).catch(() => false));
			return page.evaluate(() => ({ shown, got }));
		};

		await leave();
		if (KEEPS[name]) {
			await sleep(1200);
			s.write('data: b\n\n');
			assert.equal(s.open.size, 1);
			const { shown, got } = await comeBack();
			assert.deepEqual([shown, s.asked], [[false, true], 1]);
			await until('what came meanwhile is told', async () => (await page.evaluate(() => got)).join() === 'a,b', 3000);
			assert.deepEqual(got.slice(0, 1), ['a']);
			await leave();
			const filler = setInterval(() => s.write(`data: ${'x'.repeat(10000)}\n\n`), 5);
			await until('a flood ends the stream', () => s.open.size === 0).finally(() => clearInterval(filler));
		} else {
			await until('the stream is gone', () => s.open.size === 0);
			assert.ok(s.closedAt - s.leftAt < 1000, `gone after ${s.closedAt - s.leftAt} ms`);
		}
		assert.deepEqual(await comeBack(), { shown: [false], got: ['a'] });
		assert.equal(s.asked, 2);
		await page.close();
	});
}
