// demo.mjs - the demo page in a real browser, fed by the real player through a real
// server that is killed on the way.
//
//     FANFARE_BIN=../../fanfare node demo.mjs [--screenshots DIR]
//
// What the page must show is computed from the feed alone: final scores from its
// full-time events, goals by counting its goal events.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { LIMIT, Server, atEnd, binary, contrib, finish, freePorts, run, shots, tmp, until } from './harness.mjs';

const browserPath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const SPEED = 60000;	// the whole tournament in about twelve seconds

const feed = fs.readFileSync(path.join(contrib, 'demo', 'feed.ndjson'), 'utf8')
	.trim().split('\n').map((line) => JSON.parse(line));

const play = (s, ...args) => run(path.join(contrib, 'demo-feed'), ['--url', s.url, '--api-key-file', s.keys, ...args]);

// match number -> { score, penalties, goals: [side and text] }
function expected() {
	const results = new Map();

	for (const e of feed) {
		const r = results.get(e.data.match) ?? { goals: [] };
		if (e.event === 'goal')
			r.goals.push(e.data.goals.at(-1));
		if (e.event === 'full-time')
			Object.assign(r, { score: e.data.score, penalties: e.data.penalties });
		results.set(e.data.match, r);
	}
	return results;
}

// The same, as the page shows it to people.
function shown(page) {
	return page.evaluate(() => [...document.querySelectorAll('#groups [data-match], #knockout [data-match]')].map((el) => ({
		match: Number(el.dataset.match),
		clock: el.querySelector('.clock').textContent,
		score: [el.querySelector('.h').textContent, el.querySelector('.a').textContent],
		penalties: [...el.querySelectorAll('.pens')].map((p) => p.textContent.trim()),
		goals: [...el.querySelectorAll('.goals li')].map((li) => [li.dataset.key, li.dataset.side, li.textContent]),
	})));
}

async function showsEverything(page) {
	const rows = await shown(page);
	const results = expected();

	assert.equal(rows.length, 104);
	assert.equal(new Set(rows.map((r) => r.match)).size, 104, 'each match stands there once');
	for (const row of rows) {
		const want = results.get(row.match);
		assert.deepEqual(row.score, want.score.map(String), `score of match ${row.match}`);
		assert.match(row.clock, /^FT/, `match ${row.match} is over`);
		assert.deepEqual(row.penalties, (want.penalties ?? []).map((n) => `(${n})`));
		assert.deepEqual(row.goals.map(([, side]) => side), want.goals.map((g) => g.side), `goals of match ${row.match}`);
		row.goals.forEach(([, , text], i) => assert.ok(
			text.startsWith(`${want.goals[i].scorer} ${want.goals[i].minute}'`), text));
	}
	const keys = rows.flatMap((r) => r.goals.map(([key]) => key));
	assert.equal(keys.length, feed.filter((e) => e.event === 'goal').length);
	assert.equal(new Set(keys).size, keys.length, 'no goal is shown twice');
	assert.equal(await page.textContent('#n-goals'), String(keys.length));
	assert.equal(await page.textContent('#n-played'), '104');
}

const stateOf = (page) => page.evaluate(() => {
	const { received, duplicates, gaps, reconnects, reloads, connection, lastId } = window.fanfareDemo;
	return { received, duplicates, gaps, reconnects, reloads, connection, lastId };
});
const isLive = (page) => async () => (await stateOf(page)).connection === 'live';
const hasReceived = (page, n) => async () => (await stateOf(page)).received >= n;

let browser;
const pages = [];

async function open(url) {
	const page = await browser.newPage();

	pages.push(page);
	page.failures = [];
	page.on('pageerror', (e) => page.failures.push(e.message));
	page.on('console', (m) => {
		if (m.text().includes('Content Security Policy'))
			page.failures.push(m.text());
	});
	await page.goto(url);
	return page;
}

async function picture(page, name, { width = 1366, height = 900, scheme = 'light', whole = false, at: place } = {}) {
	if (shots === null)
		return;
	fs.mkdirSync(shots, { recursive: true });
	await page.setViewportSize({ width, height });
	await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
	await page.evaluate((id) => (id ? document.getElementById(id).scrollIntoView() : scrollTo(0, 0)), place);
	await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: whole });
}

async function pictures(page, name) {
	await picture(page, `${name}-desktop`);
	await picture(page, `${name}-desktop-whole`, { whole: true });
	await picture(page, `${name}-desktop-dark`, { scheme: 'dark', at: 'knockout' });
	await picture(page, `${name}-phone`, { width: 390, height: 844 });
	await picture(page, `${name}-phone-groups`, { width: 390, height: 844, at: 'groups' });
	await picture(page, `${name}-phone-dark`, { width: 390, height: 844, scheme: 'dark', at: 'knockout' });
}

const servers = [];
async function serve(name) {
	const s = await Server.make(name, { options: ['--demo'] });

	servers.push(s);
	return s;
}

before(async () => {
	assert.ok(fs.existsSync(binary), `no server at ${binary}: build it, or set FANFARE_BIN`);
	browser = await chromium.launchPersistentContext(path.join(tmp, 'profile'), {
		executablePath: browserPath, headless: true, viewport: { width: 1366, height: 900 },
		args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
			'--disable-background-networking', '--disable-component-update', '--disable-sync'],
	});
	atEnd(() => browser.close());
	if (shots !== null)
		console.log(`# screenshots in ${shots}`);
}, LIMIT);

after(finish, LIMIT);

test('a server that is killed three times in the middle costs the page no goal, and none is shown twice', LIMIT, async () => {
	const s = await serve('kills');
	const page = await open(s.url);
	await until('the page is live', isLive(page));

	const killAt = async (n) => {
		await until(`the page has ${n} events`, hasReceived(page, n));
		await s.kill();
		await until('the page says so', async () => (await stateOf(page)).connection === 'reconnecting');
		await new Promise((resolve) => setTimeout(resolve, 500));
		await s.start();
		await until('the page is live again', isLive(page));
	};
	const first = play(s, '--run', 'cup', '--speed', String(SPEED), '--to', '400');
	await killAt(200);
	assert.deepEqual(await first.then((r) => [r.code, r.stderr]), [0, '']);
	await until('the first part is there', hasReceived(page, 400));
	await pictures(page, 'middle');

	// Begins from the start again under the same name: known events are acknowledged
	// and not stored once more.
	const second = play(s, '--run', 'cup', '--speed', String(SPEED));
	await killAt(550);
	await killAt(700);
	assert.deepEqual(await second.then((r) => [r.code, r.stderr]), [0, '']);
	await until('everything is there', hasReceived(page, feed.length));
	await until('it is drawn', async () => await page.textContent('#n-played') === '104');

	const state = await stateOf(page);
	assert.equal(state.received, feed.length);
	assert.equal(state.duplicates, 0);
	assert.equal(state.gaps, 0);
	assert.equal(state.reloads, 1, 'resumed, not loaded anew');
	assert.ok(state.reconnects >= 3, `${state.reconnects} reconnects`);
	await showsEverything(page);
	assert.deepEqual(page.failures, []);
	await pictures(page, 'end');
});

test('a page that is opened late shows the same', LIMIT, async () => {
	const [s] = servers;
	const page = await open(s.url);

	await until('the page is live', isLive(page));
	await until('it is drawn', async () => await page.textContent('#n-played') === '104');
	await showsEverything(page);
	const state = await stateOf(page);
	assert.equal(state.received, feed.length);
	assert.equal(state.lastId, (await stateOf(pages[0])).lastId);
	assert.deepEqual(await shown(page), await shown(pages[0]));
	assert.deepEqual(page.failures, []);
});

test('the log holds every event of the feed once, in order', LIMIT, async () => {
	const [s] = servers;
	const { events } = await s.history('topic=scores/**&replay=1000');

	assert.deepEqual(events.map((e) => [e.topic, e.event]), feed.map((e) => [e.topic, e.event]));
});

test("the page's own curl line, pasted into a shell, scores at once", LIMIT, async () => {
	const [s] = servers;
	const [page, other] = pages;
	const line = await page.textContent('#curl');
	const topic = /topic=([^&']+)/.exec(line)[1];
	const number = Number(topic.split('/')[1]);
	const home = async (p) => Number((await shown(p)).find((r) => r.match === number).score[0]);
	const before_ = await home(page);

	const curl = await run('sh', ['-c', line.replace(/^curl /, 'curl -sS ')], { FANFARE_API_KEY: s.key });
	assert.equal(curl.code, 0, curl.stderr);
	assert.match(JSON.parse(curl.stdout).id, /^[0-9a-f]+-[0-9]+$/);
	for (const p of [page, other])
		await until('the goal shows', async () => await home(p) === before_ + 1, 5000);
	await page.reload();
	await until('the goal is there after a reload too', async () => await isLive(page)() && await home(page) === before_ + 1);
});

test('a tournament that begins again starts from nothing on an open page', LIMIT, async () => {
	const [s] = servers;
	const [page] = pages;

	assert.equal((await play(s, '--fast', '--to', '150')).code, 0);
	const upTo = feed.filter((e, i) => i < 150 || e.at === feed[149].at);
	const want = ['goal', 'full-time'].map((name) => String(upTo.filter((e) => e.event === name).length));
	await until(`the new one is drawn: ${want}`, async () => String(want) ===
		String(await Promise.all(['#n-goals', '#n-played'].map((at) => page.textContent(at)))));
});

test('when the store is wiped the page tells and shows what there is', LIMIT, async () => {
	const s = await serve('wiped');
	const page = await open(s.url);

	await play(s, '--fast', '--to', '300');
	await until('the page has them', hasReceived(page, 300));
	await s.kill();
	s.wipe();
	await s.start();
	await until('the gap is told', async () => (await stateOf(page)).gaps === 1 &&
		(await page.textContent('#notice')).includes('reset'));
	await until('the page is live', isLive(page));
	assert.equal((await stateOf(page)).received, 0);
	assert.equal(await page.textContent('#n-matches'), '0');
	await play(s, '--fast', '--to', '200');
	await until('new events come', hasReceived(page, 200));
});

test('a 502 ends an EventSource for good; the page makes a new one', LIMIT, async () => {
	const s = await serve('proxy');
	const page = await open(s.url);

	await play(s, '--fast', '--run', 'cup', '--to', '200');
	await until('the page has them', hasReceived(page, 200));
	await s.kill();
	const proxy = http.createServer((_, answer) => answer.writeHead(502).end()).listen(s.port, '127.0.0.1');
	await once(proxy, 'listening');
	await until('the browser has given up', async () => (await stateOf(page)).connection === 'closed');
	proxy.closeAllConnections();
	proxy.close();
	await once(proxy, 'close');
	await s.start();
	await play(s, '--fast', '--run', 'cup', '--to', '400');
	await until('the page is live', isLive(page));
	await until('the rest arrives', hasReceived(page, 400));
	const state = await stateOf(page);
	assert.equal(state.duplicates, 0);
	assert.equal(state.gaps, 0);
	assert.equal(state.reloads, 1);
});

test('demo-feed says what is wrong: no key, a wrong key, no server, a wrong option', LIMIT, async () => {
	const [s] = servers;
	const player = path.join(contrib, 'demo-feed');
	const nobody = `http://127.0.0.1:${(await freePorts(1))[0]}`;

	for (const [args, env, code, says] of [
		[['--url', s.url], {}, 2, /no key: set FANFARE_API_KEY/],
		[['--url', s.url], { FANFARE_API_KEY: 'ffk_wrong' }, 1, /401 .*\n.*does not know this key/],
		[['--url', nobody], { FANFARE_API_KEY: s.key }, 1, /nobody answers at http.*start the server/],
		[['--speed', 'fast'], { FANFARE_API_KEY: s.key }, 2, /--speed wants a number/],
		[['--api-key-file', path.join(tmp, 'none')], {}, 2, /cannot read/],
	]) {
		const r = await run(player, args, env);
		assert.equal(r.code, code, r.stderr);
		assert.match(r.stderr, says);
	}
});
