// client-page.mjs - a page with contrib/js/fanfare.js, as the server serves it, and what
// the tests that drive it share.
//
// The page is of another origin than the server, and talks HTTP/1.1 to it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { atEnd, openPage, site, sleep, until } from './harness.mjs';

export const CORS = { options: ['--server.cors_origins=*', '--stream.heartbeat=1s'] };

// The page: window.begin(options) makes the client, with a token (text) or a path that
// answers one (token); window.follow(name, topics, options) keeps what came in
// window.got[name].
export const page = `<!DOCTYPE html><link rel="icon" href="data:,"><title>client</title><script type="module">
const server = new URLSearchParams(location.search).get('server');
const { Fanfare, covers } = await import(server + '/fanfare.js');
Object.assign(window, { covers, got: {}, gaps: [], refused: [], states: [], tokens: 0, stops: {},
	begin(options = {}, at = server) {
		window.live = new Fanfare(at, { ...options, token: options.text ?? (options.token && (async () => {
			window.tokens++;
			const r = await fetch(options.token);
			if (!r.ok)
				throw Error('the site says ' + r.status);
			return r.text();
		})) });
		live.watch((s) => states.push([s.status, s.reason].filter(Boolean).join(' ')));
	},
	follow(name, topics, options = {}) {
		got[name] = [];
		stops[name] = live.on(topics, (e) => got[name].push(e.data), { ...options,
			gap: (g) => { gaps.push(name + ' ' + g.reason); if (options.replay) got[name] = []; },
			refused: (d) => refused.push(name + ': ' + d) });
	},
});
window.ready = true;
</script>`;
export const pages = await site({ '/': page });

export const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

export async function open(browser, server, options, url = pages) {
	const p = await openPage(browser, `${url.origin ?? url}/?server=${server.origin}`);

	await until('the module is there', () => p.evaluate(() => window.ready));
	if (options)
		await p.evaluate((o) => window.begin(o), options);
	return p;
}
export const follow = (p, name, topics, options) => p.evaluate((...a) => window.follow(...a), name, topics, options ?? {});
export const got = (p, name) => p.evaluate((n) => window.got[n], name);
export const state = (p) => p.evaluate(() => window.live.state);
// Its script does nothing else for so long.
export const hang = (p, ms) => p.evaluate((t) => void setTimeout(() => {
	for (const end = Date.now() + t; Date.now() < end;)
		;
}), ms);
export const isLive = (p) => until('live', async () => (await state(p)).status === 'live');
export async function hears(p, name, want) {
	try {
		await until(`${name} has ${want.length}`, async () => (await got(p, name)).length >= want.length, 20000);
	} finally {
		assert.deepEqual(await got(p, name), want, JSON.stringify(await p.evaluate(() => [window.states, window.gaps])));
	}
}

// Numbers, one after the other, until stopped; survives that the server is away.
export function counter(server, topic, from = 1, every_ms = 20) {
	const run = Math.random();
	let going = true, n = from;
	const done = (async () => {
		for (; going; n++) {
			const r = await fetch(`${server.origin}/publish`, { method: 'POST', headers: { authorization: `Bearer ${server.key}`, 'idempotency-key': `${run} ${n}` },
				body: JSON.stringify({ topic, data: n }) }).catch(() => null);
			if (r?.status !== 200)
				n--;
			await sleep(every_ms);
		}
		return numbers(from, n - 1);
	})();

	return { stop() { going = false; return done; } };
}

// Between browser and server: `rule(request, response, forward)`, counted by path.
export async function between(server, rule) {
	const counts = {};
	const proxy = http.createServer((request, response) => {
		const forward = () => {
			const onward = http.request({ port: server.port, method: request.method, path: request.url, headers: request.headers }, (r) => {
				const path = request.url.split('?')[0];
				counts[`${path} ${r.statusCode}`] = (counts[`${path} ${r.statusCode}`] ?? 0) + 1;
				response.writeHead(r.statusCode, r.headers);
				response.flushHeaders();
				r.pipe(response);
			});
			onward.on('error', () => response.destroy());
			response.on('close', () => onward.destroy());
			request.pipe(onward);
		};

		rule(request, response, forward);
	}).listen(0, '127.0.0.1');
	await once(proxy, 'listening');
	atEnd(() => { proxy.closeAllConnections(); proxy.close(); });
	return { origin: `http://127.0.0.1:${proxy.address().port}`, counts, drop: () => proxy.closeAllConnections(), close: () => proxy.close() };
}
