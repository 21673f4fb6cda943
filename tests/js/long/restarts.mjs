// restarts.mjs - the server is killed and restarted under tabs of real browsers behind
// nginx, as shipped, over HTTP/2 and TLS, while somebody publishes: no tab is lost, and
// every tab gets every event once, in order.
//
//     FANFARE_BIN=../../../fanfare node restarts.mjs [--tabs 20] [--kills 50]
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, test } from 'node:test';
import { BROWSERS, Server, atEnd, finish, launch, openPage, site, sleep, until } from '../harness.mjs';
import { KeptServer } from '../kept.mjs';
import { nginx } from '../proxy.mjs';

const LIMIT = { timeout: 420000 };
const option = (name, otherwise) => {
	const i = process.argv.indexOf(`--${name}`);
	return i === -1 ? otherwise : Number(process.argv[i + 1]);
};
const TABS = option('tabs', 20);	// of each browser
const KILLS = option('kills', 50);
const AWAY_MS = [0, 300, 0, 1800, 900];	// how long nobody is there

after(finish, LIMIT);

const page = `<!doctype html><title>tab</title><script>
const tab = { data: [], opens: 0, gaps: 0, closed: 0, state: 0 };
function listen(url) {
	const source = new EventSource(url);
	source.onmessage = (e) => tab.data.push(Number(e.data));
	source.onopen = () => tab.opens++;
	source.onerror = () => { if (source.readyState === 2) tab.closed++; };
	source.addEventListener('fanfare.gap', () => tab.gaps++);
	window.look = () => ({ ...tab, state: source.readyState });
}
</script>`;

// Publishes 0, 1, 2, ... until stopped; what was not acknowledged is repeated with its key.
function publisher(s, topic) {
	const p = { n: 0, repeated: 0, going: true };

	p.done = (async () => {
		while (p.going) {
			const answer = await fetch(`${s.origin}/publish?topic=${topic}`, { method: 'POST', body: String(p.n),
				headers: { authorization: `Bearer ${s.key}`, 'idempotency-key': `${topic}-${p.n}` } }).then((r) => r.json().then(() => r.status), () => 0);
			if (answer === 200)
				p.n++;
			else
				p.repeated++;
			await sleep(answer === 200 ? 40 : 100);
		}
	})();
	p.stop = () => { p.going = false; return p.done; };
	atEnd(p.stop);
	return p;
}

async function openTabs(origin, url, n) {
	const tabs = [];

	for (const name of BROWSERS) {
		const browser = await launch(name, { args: name === 'chromium' ? ['--process-per-site'] : [] });
		for (let i = 0; i < n; i++) {
			const tab = await openPage(browser, origin);
			await tab.evaluate((u) => listen(u), url);
			tabs.push(Object.assign(tab, { title: `${name} ${i + 1}`, owner: browser }));
		}
		console.log(`# ${n} tabs of ${name}`);
	}
	return tabs;
}

// What must hold for each tab when all is over.
async function missedNothing(tabs, n) {
	const want = Array.from({ length: n }, (_, i) => i);
	let opens = 0;

	for (const tab of tabs) {
		// A retry of up to six seconds may stand before the last one.
		const seen = await until(`${tab.title} has all`, async () => {
			const now = await tab.evaluate(() => look());
			return (now.closed > 0 || (now.data.length >= n && now.state === 1)) && now;
		}, 20000);
		assert.deepEqual([seen.closed, seen.state, seen.gaps], [0, 1, 0], `${tab.title}: closed, state, gaps`);
		assert.deepEqual(seen.data, want, `${tab.title}: every event once, in order`);
		opens += seen.opens;
	}
	for (const browser of new Set(tabs.map((t) => t.owner))) {
		assert.deepEqual(browser.failures, []);
		await browser.close();
	}
	return opens;
}

// What the tabs asked for, as nginx has it in its log.
function asked(proxy) {
	const lines = fs.readFileSync(`${proxy.dir}/access.log`, 'utf8').split('\n').filter((line) => line.includes('/events'));

	assert.ok(lines.every((line) => line.includes('"GET /events HTTP/2.0" 200 ')), 'all over HTTP/2, all answered 200');
	return lines;
}

test(`E5: ${TABS} tabs of each browser outlive ${KILLS} restarts behind nginx, and miss nothing`, LIMIT, async () => {
	const begun = Date.now();
	const pages = await site({ '/': page });
	const s = await Server.make('restarts', { unixSocket: true, options: [`--server.cors_origins=${pages.origin}`, '--server.drain_time=300ms'] });
	const proxy = await nginx(s, [['"https://www.example.com" $http_origin;', `"${pages.origin}" $http_origin;`]]);
	const tabs = await openTabs(pages.origin, `${proxy.origin}/events?topic=n`, TABS);
	await until('all are live', async () => await s.streams() === tabs.length);
	const news = publisher(s, 'n');
	let cut = 0;

	for (let i = 0; i < KILLS; i++) {
		let live = 0;
		// At most one in two may still be waiting for its time.
		await until('half of them are back', async () => (live = await s.streams()) >= tabs.length / 2, 15000);
		await sleep(200);
		live = await s.streams();
		cut += live;
		await s.kill(i % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
		await sleep(AWAY_MS[i % AWAY_MS.length]);
		await s.start();
		if (i % 5 === 4)
			console.log(`# ${i + 1} restarts after ${Math.round((Date.now() - begun) / 1000)} s: ${news.n} events, ${live} streams at the last one`);
	}
	await news.stop();
	const opens = await missedNothing(tabs, news.n);
	// An empty stream of one line: "retry: 1234".
	const away = asked(proxy).filter((line) => line.includes(' 200 12 ')).length;
	console.log(`# ${KILLS} restarts, ${tabs.length} tabs, ${news.n} events (${news.repeated} publishes repeated), ${cut} streams cut, ${opens} opened, ${away} times sent away by nginx, ${Math.round((Date.now() - begun) / 1000)} s`);
	assert.ok(away > TABS * KILLS / 50, 'nginx was asked while nobody was there');
	await proxy.kill();
	await s.kill();
});

test('with sockets that systemd keeps, tabs outlive restarts behind nginx without its trick', LIMIT, async () => {
	const begun = Date.now();
	const pages = await site({ '/': page });
	const s = await KeptServer.make('kept', { options: [`--server.cors_origins=${pages.origin}`, '--server.drain_time=300ms'] });
	const proxy = await nginx(s, [['error_page 429 500 502 503 504 = @fanfare_away;', '']]);
	const tabs = await openTabs(pages.origin, `${proxy.origin}/events?topic=n`, Math.ceil(TABS / 4));
	await until('all are live', async () => await s.streams() === tabs.length);
	const news = publisher(s, 'n');

	for (let i = 0; i < Math.ceil(KILLS / 5); i++) {
		// All of them: a request that SIGKILL meets inside the server is lost even so.
		await until('all are back', async () => await s.streams() === tabs.length, 15000);
		await s.restart(i % 2 === 0 ? 'SIGTERM' : 'SIGKILL');
	}
	await news.stop();
	const opens = await missedNothing(tabs, news.n);
	asked(proxy);
	console.log(`# ${Math.ceil(KILLS / 5)} restarts, ${tabs.length} tabs, ${news.n} events (${news.repeated} publishes repeated), ${opens} opened, ${Math.round((Date.now() - begun) / 1000)} s`);
	await proxy.kill();
	await s.kill();
});

test('of 200 requests during a restart by systemd, with streams open, none is refused', LIMIT, async () => {
	const s = await KeptServer.make('none', { options: ['--server.drain_time=1s'] });
	const answers = [];
	const ask = (i) => fetch(...[[`${s.origin}/history?topic=a`], [`${s.origin}/publish?topic=a`, { method: 'POST', body: 'x',
		headers: { authorization: `Bearer ${s.key}` } }]][i % 2]).then(async (r) => { await r.arrayBuffer(); return r.status; }, (e) => String(e.cause ?? e));
	const streams = await Promise.all(Array.from({ length: 5 }, () => fetch(`${s.origin}/events?topic=a`, { headers: { accept: 'text/event-stream' } })));

	const { pid } = s;
	const restart = s.restart('SIGTERM');
	for (let i = 0; i < 200; i++) {
		answers.push(ask(i));
		await sleep(10);
	}
	await restart;
	assert.notEqual(s.pid, pid);
	assert.deepEqual((await Promise.all(answers)).filter((a) => a !== 200), []);
	for (const stream of streams)
		await stream.body.cancel();
	await s.kill();
});
