// polling.mjs - /history as the polling fallback of libraries that people use: SWR and
// TanStack Query, in real browsers.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { buildSync } from 'esbuild';
import { BROWSERS, LIMIT, Server, atEnd, finish, launch, openPage, site, until } from './harness.mjs';

const code = `
import { createElement as h } from 'react';
import { createRoot } from 'react-dom/client';
import useSWR from 'swr';
import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query';

const server = new URLSearchParams(location.search).get('server');
const latest = server + '/history?topic=polled&replay=1';
const get = (url) => fetch(url, { cache: 'no-cache' }).then((r) => r.json());

function Swr() {
	const { data } = useSWR(latest, get, { refreshInterval: 200 });
	return h('p', { id: 'swr' }, data?.events[0]?.data ?? '');
}

// What follows the cursor, page by page; nothing is asked for twice.
const seen = { after: null, events: [] };
async function more() {
	const page = await get(server + '/history?topic=polled' + (seen.after ? '&after=' + seen.after : '&replay=1'));
	seen.events = [...seen.events, ...page.events.map((e) => e.data)];
	seen.after = page.events.at(-1)?.id ?? seen.after ?? page.cursor;
	return seen.events;
}
function Query() {
	const { data } = useQuery({ queryKey: ['polled'], queryFn: more, refetchInterval: 200 });
	return h('p', { id: 'query' }, (data ?? []).join());
}

createRoot(document.body).render(h(QueryClientProvider, { client: new QueryClient() }, h(Swr), h(Query)));
`;
let server, pages, counted;

before(async () => {
	const { outputFiles: [{ text }] } = buildSync({ stdin: { contents: code, resolveDir: path.dirname(fileURLToPath(import.meta.url)) },
		bundle: true, write: false, format: 'iife', define: { 'process.env.NODE_ENV': '"production"' } });
	server = await Server.make('polling', { options: ['--server.cors_origins=*'] });
	pages = await site({ '/': '<!DOCTYPE html><link rel="icon" href="data:,"><body><script src="/app.js"></script>', '/app.js': { type: 'text/javascript', body: text } });
	// What the server answered, as the browser's cache does not tell.
	const counts = {};
	const proxy = http.createServer((request, response) => {
		request.pipe(http.request({ port: server.port, method: request.method, path: request.url, headers: request.headers }, (r) => {
			counts[r.statusCode] = (counts[r.statusCode] ?? 0) + 1;
			response.writeHead(r.statusCode, r.headers);
			r.pipe(response);
		}));
	}).listen(0, '127.0.0.1');
	await once(proxy, 'listening');
	atEnd(() => { proxy.closeAllConnections(); proxy.close(); });
	counted = { counts, origin: `http://127.0.0.1:${proxy.address().port}` };
}, LIMIT);
after(finish, LIMIT);

for (const name of BROWSERS) test(`${name}: SWR and TanStack Query poll /history, and an idle poll is a 304`, LIMIT, async () => {
	const browser = await launch(name);
	await server.publish('polled', `${name} 0`);
	const page = await openPage(browser, `${pages.origin}/?server=${counted.origin}`);
	const text = (id) => page.evaluate((i) => document.getElementById(i)?.textContent, id);
	const want = [`${name} 0`];

	for (let i = 1; i < 5; i++) {
		await until('both show it', async () => await text('swr') === want.at(-1) && await text('query') === want.join(), 10000);
		await server.publish('polled', `${name} ${i}`);
		want.push(`${name} ${i}`);
	}
	await until('both show the last', async () => await text('swr') === want.at(-1) && await text('query') === want.join(), 10000);
	const { 200: full = 0, 304: idle = 0 } = counted.counts;
	await until('idle polls are 304', () => (counted.counts[304] ?? 0) >= idle + 6, 10000);
	assert.ok((counted.counts[200] ?? 0) <= full + 2, JSON.stringify(counted.counts));
	assert.deepEqual(browser.failures, []);
	await browser.close();
});
