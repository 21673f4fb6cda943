// node.mjs - a Server-Sent Events server as people write it by hand: a set of
// responses per topic, and one write to each.
//
//     node node.mjs PORT
import http from 'node:http';

const topics = new Map();
let lastId = 0;

function subscribe(req, res, names) {
	res.writeHead(200, {
		'Content-Type': 'text/event-stream',
		'Cache-Control': 'no-cache',
		'Connection': 'keep-alive',
	});
	res.flushHeaders();
	for (const name of names) {
		if (!topics.has(name))
			topics.set(name, new Set());
		topics.get(name).add(res);
	}
	req.on('close', () => {
		for (const name of names) {
			topics.get(name)?.delete(res);
			if (topics.get(name)?.size === 0)
				topics.delete(name);
		}
	});
}

async function publish(req, res, name) {
	let body = '';

	for await (const chunk of req)
		body += chunk;
	const message = `id: ${++lastId}\ndata: ${body}\n\n`;
	for (const stream of topics.get(name) ?? [])
		stream.write(message);
	res.writeHead(204).end();
}

const server = http.createServer((req, res) => {
	const url = new URL(req.url, 'http://localhost');

	if (req.method === 'GET' && url.pathname === '/events')
		subscribe(req, res, url.searchParams.getAll('topic'));
	else if (req.method === 'POST' && url.pathname === '/publish')
		publish(req, res, url.searchParams.get('topic')).catch(() => res.destroy());
	else
		res.writeHead(404).end();
});
server.keepAliveTimeout = 60000;	// publishers keep their connections
server.listen(Number(process.argv[2]), '127.0.0.1');
