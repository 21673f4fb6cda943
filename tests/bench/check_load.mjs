#!/usr/bin/env node
// check_load.mjs - does the load generator see what goes wrong?
//
// A server that does one thing wrong to its first stream, at every tenth event; what the
// generator has to count; and that the benchmark takes it for a fault.  Takes the
// generator's path; the last line is "N passed, N failed".
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { faults } from './report.mjs';

const STREAMS = 5;
const EVENTS = 200;
const TENTH = EVENTS / 10;

// What the first stream gets in place of `frame`, and the counts that are not zero.
const FAULTS = {
	'nothing wrong': { write: (s, frame) => s.write(frame) },
	'in pieces': { write: pieces },
	'lost': { write: () => {}, lost: TENTH },
	'twice': { write: (s, frame) => s.write(frame + frame), repeated: TENTH },
	'behind the next': { write: (s, frame) => { s.held = frame; }, lost: TENTH, repeated: TENTH },
	'another byte': { write: (s, frame) => s.write(frame.replace('.\n', 'x\n')),
		lost: TENTH, corrupt: TENTH },
	'a byte less': { write: (s, frame) => s.write(frame.replace('x.', '.')),
		lost: TENTH, corrupt: TENTH },
	'two lines': { write: (s, frame) => s.write(frame.replace('xxx', 'x\ndata: x')),
		lost: TENTH, corrupt: TENTH },
	'the next topic\'s': { write: (s, frame) => s.write(frame.replace(/ 000000 /, ' 000001 ')),
		lost: TENTH, corrupt: TENTH },
	'refused, but sent': { write: (s, frame) => s.write(frame), status: 503,
		failed: TENTH, late: TENTH * STREAMS },
	'refused': { write: () => {}, others: () => {}, status: 503, failed: TENTH },
	'a stream refused': { write: (s, frame) => s.write(frame), refuses: 1, refused: 1 },
};

// What is a fault of the server, and what is the scenario's.
const JUDGED = {
	'a stream ended': { json: { scenario: 'fanout', closed: 1 }, fault: true },
	'ended in a flood': { json: { scenario: 'flood', closed: 1, late: 1,
		failed_publishes: { 503: 1 } }, fault: false },
	'lost in a flood': { json: { scenario: 'flood', lost: 1 }, fault: true },
	'ended among the slow': { json: { scenario: 'slow', slow_streams: 9, closed: 1 }, fault: false },
	'ended, none slow': { json: { scenario: 'slow', slow_streams: 0, closed: 1 }, fault: true },
	'refused beside the slow': { json: { scenario: 'slow', slow_streams: 9,
		failed_publishes: { none: 1 } }, fault: true },
	'not caught up': { json: { scenario: 'storm', caught_up: false }, fault: true },
	'caught up': { json: { scenario: 'storm', caught_up: true, failed_publishes: {} },
		fault: false },
};
const COUNTS = ['lost', 'repeated', 'corrupt', 'late', 'gaps', 'closed', 'refused'];

const write = (stream, frame) => stream.write(frame);

function pieces(stream, frame) {
	for (let i = 0; i < frame.length; i += 13)
		setImmediate(() => stream.write(frame.slice(i, i + 13)));
}

function serve(fault) {
	const streams = [];
	let n = 0;
	let refuses = fault.refuses ?? 0;

	return http.createServer(async (req, res) => {
		if (req.method === 'GET') {
			if (refuses-- > 0) {
				res.writeHead(503).end();
				return;
			}
			res.writeHead(200, { 'Content-Type': 'text/event-stream' });
			res.flushHeaders();
			streams.push(res);
			return;
		}
		let body = '';
		for await (const chunk of req)
			body += chunk;
		const frame = `id: ${++n}\ndata: ${body}\n\n`;
		const wrong = n % 10 === 0;
		streams.forEach((stream, i) => {
			if (wrong && i === 0) {
				fault.write(stream, frame);
				return;
			}
			(wrong && fault.others || write)(stream, frame);
			if (stream.held) {
				stream.write(stream.held);
				stream.held = null;
			}
		});
		res.writeHead(wrong && fault.status ? fault.status : 204).end();
	});
}

// One more event than is looked at, so that what was held back comes too.
async function run(load, fault) {
	const server = serve(fault).listen(0, '127.0.0.1');
	await once(server, 'listening');
	const child = spawn(load, ['fanout', '--port', server.address().port, '--prefix', 'b',
		'--topics', 1, '--streams', STREAMS, '--events', EVENTS + 1, '--warmup', 0,
		'--until', 'answer', '--timeout', 1].map(String),
	{ stdio: ['ignore', 'pipe', 'ignore'] });
	let out = '';
	for await (const chunk of child.stdout)
		out += chunk;
	server.closeAllConnections();
	server.close();
	return JSON.parse(out);
}

const load = process.argv[2];
let passed = 0;
let failed = 0;

if (load === undefined) {
	process.stderr.write('usage: check_load.mjs LOAD\n');
	process.exit(2);
}

function verdict(name, wrong) {
	if (wrong.length === 0) {
		passed++;
		return;
	}
	failed++;
	process.stdout.write(`${name}: ${wrong.join(', ')}\n`);
}

for (const [name, fault] of Object.entries(FAULTS)) {
	const counts = await run(load, fault);
	const failures = counts.failed_publishes[fault.status] ?? 0;
	const wanted = { ...fault, events: EVENTS + 1 - (fault.failed ?? 0) };
	const wrong = [...COUNTS, 'events'].filter((c) => counts[c] !== (wanted[c] ?? 0))
		.map((c) => `${counts[c]} ${c}`);
	const found = faults({ before: [], load: counts });
	const right = [...COUNTS, 'failed'].every((c) => !(fault[c] > 0));
	if (failures !== (fault.failed ?? 0))
		wrong.push(`${failures} failed`);
	if (right !== (found.length === 0))
		wrong.push(`taken for ${found.join(', ') || 'right'}`);
	verdict(name, wrong);
}
for (const [name, { json, fault }] of Object.entries(JUDGED))
	for (const record of [{ before: [], load: json }, { before: [json], load: {} }]) {
		const found = faults(record);
		verdict(name, fault === found.length > 0 ? [] : [found.join(', ') || 'no fault']);
	}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(failed > 0 ? 1 : 0);
