#!/usr/bin/env node
// check_load.mjs - does the load generator see what goes wrong?
//
// A server that does one thing wrong to its first stream, at every tenth event; and
// what the generator has to count.  Takes the generator's path; the last line is
// "N passed, N failed".
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';

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
		events: EVENTS - TENTH, late: TENTH * STREAMS },
};
const COUNTS = ['lost', 'repeated', 'corrupt', 'late', 'gaps', 'closed'];

function pieces(stream, frame) {
	for (let i = 0; i < frame.length; i += 13)
		setImmediate(() => stream.write(frame.slice(i, i + 13)));
}

function serve(fault) {
	const streams = [];
	let n = 0;

	return http.createServer(async (req, res) => {
		if (req.method === 'GET') {
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
			stream.write(frame);
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
for (const [name, fault] of Object.entries(FAULTS)) {
	const counts = await run(load, fault);
	const wrong = [...COUNTS, 'events'].filter((c) => counts[c] !==
		(c === 'events' ? (fault.events ?? EVENTS) + 1 : fault[c] ?? 0));
	if (wrong.length === 0)
		passed++;
	else {
		failed++;
		process.stdout.write(`${name}: ${wrong.map((c) => `${counts[c]} ${c}`).join(', ')}\n`);
	}
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(failed > 0 ? 1 : 0);
