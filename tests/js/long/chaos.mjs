// chaos.mjs - random things happen to tabs, topics, server and network; each handler must
// still hear every number of its topic from where it began, once and in order.
//
//     SEED=7 FANFARE_BIN=... node chaos.mjs        the same choices again
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, test } from 'node:test';
import { BROWSERS, Server, atEnd, finish, launch, openPage, site, sleep, until } from '../harness.mjs';

const SECONDS = 30, TABS = 6, TOPICS = 5;
const LIMIT = { timeout: 180000 };
after(finish, LIMIT);

const page = `<!DOCTYPE html><link rel="icon" href="data:,"><title>chaos</title><script type="module">
const at = new URLSearchParams(location.search);
const { Fanfare } = await import(at.get('server') + '/fanfare.js');
const subs = window.subs = {};
window.live = new Fanfare(at.get('through'), { poll: at.get('poll') === '0' ? 0 : 500 });
window.follow = (name, topic, options) => {
	const s = subs[name] = { topic, options, got: [], gaps: 0 };
	s.stop = live.on(topic, (e) => s.got.push([e.topic, e.data]), { ...options, gap: () => s.gaps++ });
};
window.unfollow = (name) => { subs[name].stop(); delete subs[name]; };
window.ready = true;
</script>`;

function random(seed) {
	let a = seed >>> 0;
	const next = () => {
		a = (a + 0x6d2b79f5) >>> 0;
		let t = Math.imul(a ^ (a >>> 15), a | 1);
		t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
	};

	return { upTo: (n) => Math.floor(next() * n), one: (list) => list[Math.floor(next() * list.length)] };
}

// A wire that can be cut, frozen, or answer like a broken gateway.
async function wire(server) {
	const w = { mode: 'good', sockets: new Set() };
	const listener = net.createServer((a) => {
		w.sockets.add(a);
		a.on('error', () => {}).on('close', () => w.sockets.delete(a));
		if (w.mode === 'gateway')
			return void a.once('data', () => a.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'));
		const b = net.connect(server.port, '127.0.0.1');
		a.on('data', (d) => a.frozen || b.write(d)).on('close', () => b.destroy());
		b.on('data', (d) => a.frozen || a.write(d)).on('error', () => {}).on('close', () => a.frozen || a.destroy());
	}).listen(0, '127.0.0.1');

	await once(listener, 'listening');
	atEnd(() => { listener.close(); w.sockets.forEach((s) => s.destroy()); });
	w.origin = `http://127.0.0.1:${listener.address().port}`;
	return w;
}

for (const name of BROWSERS) test(`${name}: ${SECONDS} s of chaos cost no handler an event, and none comes twice`, LIMIT, async () => {
	const seed = Number(process.env.SEED ?? (process.env.FANFARE_TEST_RELEASE ? Math.floor(Math.random() * 1e6) : 1));
	const { upTo, one } = random(seed);
	console.log(`# ${name}: SEED=${seed}`);
	const s = await Server.make(`chaos-${name}`, { options: ['--server.cors_origins=*', '--stream.heartbeat=1s', '--server.drain_time=1s'] });
	const w = await wire(s);
	const pages = await site({ '/': page });
	const browser = await launch(name);
	const tabs = [], last = Array(TOPICS).fill(0), counts = {};
	let made = 0, going = true;

	const open = async () => {
		const p = await openPage(browser, `${pages.origin}/?server=${s.origin}&through=${w.origin}&poll=${upTo(2)}`);
		await until('the module is there', () => p.evaluate(() => window.ready), 10000);
		tabs.push({ page: p, names: [] });
	};
	const publishing = (async () => {
		while (going) {
			const i = Math.floor(Math.random() * TOPICS);
			const r = await fetch(`${s.origin}/publish`, { method: 'POST', headers: { authorization: `Bearer ${s.key}`, 'idempotency-key': `${i} ${last[i] + 1}` },
				body: JSON.stringify({ topic: `c/${i}`, data: last[i] + 1 }) }).catch(() => null);
			if (r?.status === 200)
				last[i]++;
			await sleep(5);
		}
	})();
	const actions = {
		async open() { if (tabs.length < TABS) await open(); },
		async close() { if (tabs.length > 1) await tabs.splice(upTo(tabs.length), 1)[0].page.close(); },
		async follow() {
			const tab = one(tabs), topic = one([`c/${upTo(TOPICS)}`, `c/${upTo(TOPICS)}`, 'c/*', '**']);
			const kind = one(['now', 'after', 'replay']);
			const options = kind === 'replay' ? { replay: 1 + upTo(3) } : {};
			let first;
			if (kind === 'after') {
				const h = await s.history(`topic=${topic}&limit=1`);
				options.after = h.cursor;
				first = topic.startsWith('c/') && !topic.includes('*') ? (h.events[0]?.data ?? 0) + 1 : undefined;
			}
			tab.names.push([`n${made}`, first]);
			await tab.page.evaluate((...a) => window.follow(...a), `n${made++}`, topic, options);
		},
		async unfollow() {
			const tab = one(tabs);
			if (tab.names.length > 0)
				await tab.page.evaluate((n) => window.unfollow(n), tab.names.splice(upTo(tab.names.length), 1)[0][0]);
		},
		async kill() { await s.restart(one(['SIGKILL', 'SIGTERM'])); },
		async cut() { w.sockets.forEach((a) => a.destroy()); },
		async gateway() {
			w.mode = 'gateway';
			w.sockets.forEach((a) => a.destroy());
			await sleep(100 + upTo(1500));
			w.mode = 'good';
		},
		async freeze() { w.sockets.forEach((a) => { a.frozen = true; }); },
		async hang() { await one(tabs).page.evaluate(() => setTimeout(() => { for (const end = Date.now() + 4500; Date.now() < end;) ; })); },
		async wake() {
			await Promise.all(tabs.map((t) => t.page.evaluate(() => window.dispatchEvent(new Event('online')))));
		},
	};
	const often = ['follow', 'follow', 'follow', 'follow', 'follow', 'follow', 'follow', 'unfollow', 'unfollow', 'open', 'open', 'close', 'kill', 'cut', 'gateway', 'freeze', 'wake', 'hang'];
	await open();
	await open();
	for (const end = Date.now() + SECONDS * 1000; Date.now() < end;) {
		const action = one(often);
		counts[action] = (counts[action] ?? 0) + 1;
		await actions[action]().catch((e) => { if (!/healthz|history|fetch failed/.test(e.message)) throw e; });
		await sleep(upTo(300));
	}
	going = false;
	await publishing;

	// Who follows from now on may not have begun when the first of these comes.
	let rounds = 0, published = 0;
	const round = async () => {
		published = Date.now();
		rounds++;
		await s.publish(last.map((n, i) => ({ topic: `c/${i}`, data: n + rounds })));
	};
	await round();

	let handlers = 0, events = 0;
	for (const tab of tabs) {
		const ends = () => tab.page.evaluate(() => Object.fromEntries(Object.entries(window.subs).map(([n, { topic, options, got, gaps }]) => [n, { topic, options, got, gaps }])));
		for (const [n, first] of tab.names) {
			let sub;
			const follows = (i) => ['**', 'c/*', `c/${i}`].includes(sub.topic);
			const isDone = async () => {
				sub = (await ends())[n];
				const isAtEnd = last.every((n, i) => !follows(i) || sub.got.some(([t, d]) => t === `c/${i}` && d > n));

				if (!isAtEnd && first === undefined && Date.now() - published > 2000)
					await round();
				return isAtEnd;
			};
			await until(`${n} (${JSON.stringify([sub?.topic, first])}) has an event of the end`, isDone, 60000).catch(async (e) => {
				throw Error(`SEED=${seed} ${e.message}: ${JSON.stringify([sub.topic, sub.options, sub.got.slice(-3), last, await tab.page.evaluate(() => live.state)])}`);
			});
			assert.equal(sub.gaps, 0, `SEED=${seed} ${n} of ${sub.topic}: gaps`);
			for (const i of last.keys()) {
				const mine = sub.got.filter(([t]) => t === `c/${i}`).map(([, d]) => d);
				if (mine.length === 0)
					continue;
				assert.deepEqual(mine, mine.map((_, k) => mine[0] + k), `SEED=${seed} ${n} of ${sub.topic} ${JSON.stringify(sub.options)}`);
				if (first !== undefined && sub.topic === `c/${i}`)
					assert.equal(mine[0], first, `SEED=${seed} ${n} of ${sub.topic} begins where it was told`);
				events += mine.length;
			}
			handlers++;
		}
	}
	console.log(`# ${name}: ${JSON.stringify(counts)}; ${handlers} handlers in ${tabs.length} tabs at the end, ${events} events, ${last.reduce((a, b) => a + b)} published`);
	assert.ok(handlers > 0);
	await until('few streams are left', async () => await s.streams() <= 2, 20000);
	assert.deepEqual(browser.failures, []);
	await browser.close();
	await s.kill();
});
