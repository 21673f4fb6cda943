// better-sse.mjs - the same with the library better-sse: sessions in a channel per
// topic, and one broadcast.
//
//     node better-sse.mjs PORT
import { webcrypto } from 'node:crypto';
import http from 'node:http';
import { createChannel, createSession } from 'better-sse';

globalThis.crypto ??= webcrypto;	// what better-sse wants, and Node.js 18 has not
const topics = new Map();
// Text as it is: by default it would go out as a JSON string.
const options = { serializer: String };

function channel(name) {
	if (!topics.has(name))
		topics.set(name, createChannel());
	return topics.get(name);
}

async function subscribe(req, res, names) {
	const session = await createSession(req, res, options);

	for (const name of names)
		channel(name).register(session);
}

async function publish(req, res, name) {
	let body = '';

	for await (const chunk of req)
		body += chunk;
	channel(name).broadcast(body);
	res.writeHead(204).end();
}

const server = http.createServer((req, res) => {
	const url = new URL(req.url, 'http://localhost');
	let done;

	if (req.method === 'GET' && url.pathname === '/events')
		done = subscribe(req, res, url.searchParams.getAll('topic'));
	else if (req.method === 'POST' && url.pathname === '/publish')
		done = publish(req, res, url.searchParams.get('topic'));
	else
		done = res.writeHead(404).end();
	Promise.resolve(done).catch(() => res.destroy());
});
server.keepAliveTimeout = 60000;	// publishers keep their connections
server.listen(Number(process.argv[2]), '127.0.0.1');
