// nextjs.mjs - the example in contrib/nextjs, built and run as its users run it, with a
// real server and real browsers.
//
//     FANFARE_BIN=../../../fanfare node nextjs.mjs [--screenshots DIR]
//
// It is copied and built once; the source tree stays as it is.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { LIMIT, Program, Server, atEnd, binary, contrib, finish, freePorts, launch, run, secret, shots, sleep, tmp, until } from '../harness.mjs';

const STEPS = ['placed', 'accepted', 'ready', 'picked-up', 'delivered'];
const started = Date.now();
const say = (text) => console.log(`# ${((Date.now() - started) / 1000).toFixed(1)} s: ${text}`);

const app = path.join(tmp, 'nextjs');
let fanfare, next, dev, env;

// What `next` is run with; a Program of it.
function nextProgram(name, args, more = {}) {
	const program = new Program(name, process.execPath, [path.join(app, 'node_modules/next/dist/bin/next'), ...args],
		{ cwd: app, env: { ...env, ...more } });

	// Before it is killed: next dev has a child of its own, and ends it.
	atEnd(() => program.process && Promise.race([program.kill('SIGTERM'), sleep(3000)]));
	return program;
}

async function serveNext(program, port) {
	program.origin = `http://127.0.0.1:${port}`;
	program.start();
	await program.answers(`${program.origin}/sign-in`, 60000);
}

before(async () => {
	const [port, devPort] = await freePorts(2);

	for (const name of ['js', 'nextjs'])
		fs.cpSync(path.join(contrib, name), path.join(tmp, name), { recursive: true,
			filter: (file) => !/\/(node_modules|\.next|\.fanfare|\.env\.local)$/.test(file) });
	fanfare = await Server.make('next', { isPublic: false, options: ['--topics.public=scores/**',
		'--topics.authenticated=user/{sub}/**', `--server.cors_origins=http://127.0.0.1:${port}, http://127.0.0.1:${devPort}`] });
	env = { NEXT_TELEMETRY_DISABLED: '1', NEXT_PUBLIC_FANFARE_URL: fanfare.origin, FANFARE_URL: fanfare.origin,
		FANFARE_API_KEY: fanfare.key, FANFARE_AUTH_KEY: secret, FANFARE_REWRITE: fanfare.origin,
		SESSION_SECRET: 'any words will do for a test', PATH: `${path.dirname(process.execPath)}:${process.env.PATH}` };
	const ci = await run('npm', ['ci'], {}, { cwd: app });
	assert.equal(ci.code, 0, ci.stderr);
	say('npm ci');
	next = nextProgram('next-start', ['start', '-H', '127.0.0.1', '-p', port]);
	const build = await run(process.execPath, [next.args[0], 'build'], env, { cwd: app });
	assert.equal(build.code, 0, build.stdout + build.stderr);
	say('next build');
	await serveNext(next, port);
	dev = nextProgram('next-dev', ['dev', '-H', '127.0.0.1', '-p', devPort],
		{ NEXT_PUBLIC_FANFARE_URL: `http://127.0.0.1:${devPort}/live` });
	dev.port = devPort;
}, { timeout: 240000 });

after(finish, LIMIT);
// A test that failed while it was down shall not fail the others.
beforeEach(async () => {
	if (!fanfare.runs)
		await fanfare.start();
}, LIMIT);

// --- people ---

const browsers = new Map();
async function browserOf(name) {
	if (!browsers.has(name))
		browsers.set(name, await launch(name));
	return browsers.get(name);
}

// A page of somebody signed in, in a profile of its own.  page.complaints has what the
// console got, page.asked what was asked of fanfare.
async function person(browser, name, role, site = next) {
	const context = await browser.createBrowserContext();
	const page = await context.newPage();

	await page.setViewport({ width: 1280, height: 860 });
	Object.assign(page, { complaints: [], asked: [], signedIn: name });
	page.on('pageerror', (e) => page.complaints.push(e.message));
	page.on('console', (m) => {
		if (['error', 'warn', 'warning'].includes(m.type()))
			page.complaints.push(m.text());
	});
	page.on('request', (r) => {
		if (/\/events\?/.test(r.url()))
			page.asked.push(r.url());
	});
	if (role !== undefined) {
		await page.goto(`${site.origin}/sign-in`);
		await page.type('input[name=name]', name);
		await page.click(`input[value=${role}]`);
		await page.click('.sign-in button');
		await until(`${name} is signed in`, () => page.$('.who button'));
	}
	return page;
}

const textOf = (page, selector) => page.$eval(selector, (el) => el.innerText).catch(() => '');
const live = (page) => until(`${page.signedIn}'s page is live`,
	async () => await textOf(page, '.connection') === 'live');
const shows = (page, what, selector, limit) => until(`${page.signedIn} sees ${what}`, () => page.$(selector), limit);
const statusOf = (page) => page.$eval('.steps', (el) => el.dataset.status).catch(() => null);

async function order(customer, ...dishes) {
	await customer.goto(`${next.origin}/`);
	for (const dish of dishes)
		await customer.click(`input[value="${dish}"]`);
	await customer.click('.menu button');
	await shows(customer, 'the order', '.steps');
	return customer.url().split('/').pop();
}

// Clicks go through the element: a toast or a list that moves is no reason to miss it.
const press = (page, selector) => page.$eval(selector, (el) => el.click());

// Network trouble on purpose is said on the console too, and so is a slow machine; and next
// dev's own page of the Pages Router stumbles now and then over a message about pages of the
// App Router.
const complaints = (...pages) => pages.flatMap((p) => p.complaints)
	.filter((text) => !/ERR_|Failed to load resource|can.t establish a connection|was interrupted|NetworkError|Failed to fetch|Cross-Origin Request Blocked|was preloaded using link preload|HMR\] Invalid message.*isrManifest/.test(text));

async function picture(page, name) {
	if (shots === null || page.browser() !== browsers.get('chromium'))
		return;
	fs.mkdirSync(shots, { recursive: true });
	for (const [suffix, width, height, scheme] of [['desktop', 1280, 800, 'light'], ['dark', 1280, 800, 'dark'],
		['phone', 390, 844, 'light'], ['phone-dark', 390, 844, 'dark']]) {
		await page.setViewport({ width, height });
		await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
		await sleep(400);
		await page.screenshot({ path: path.join(shots, `${name}-${suffix}.png`) });
	}
	await page.setViewport({ width: 1280, height: 860 });
	await page.emulateMediaFeatures([]);
}

// --- tests ---

let delivered;	// an order that has been through everything, and its customer

for (const name of ['chromium', 'firefox'])
	test(`an order goes from the customer to the kitchen to the courier and back, and nobody reloads (${name})`, LIMIT, async () => {
		const browser = await browserOf(name);
		const ann = await person(browser, `ann-${name}`, 'customer');
		const kim = await person(browser, `kim-${name}`, 'kitchen');
		const carl = await person(browser, `carl-${name}`, 'courier');
		await Promise.all([kim, carl].map(live));
		const pages = [ann, kim, carl];

		const id = await order(ann, 'Tomato soup', 'Lemon tart');
		await live(ann);
		// Gone if a page is loaded anew.
		await Promise.all(pages.map((p) => p.evaluate(() => { window.isTheSame = true; })));
		await shows(kim, 'the new order', `[data-order="${id}"][data-status=placed]`);
		await picture(kim, 'kitchen');

		await press(kim, `[data-order="${id}"] button`);
		await until('the customer sees it accepted', async () => await statusOf(ann) === 'accepted');
		assert.equal(await carl.$(`[data-order="${id}"]`), null, 'nothing to carry yet');

		// Down while the kitchen goes on: the publish is repeated until it is back.
		await fanfare.kill();
		await press(kim, `[data-order="${id}"] button`);
		await shows(kim, 'its own doing', `[data-order="${id}"][data-status=ready]`, 5000);
		await sleep(700);
		await fanfare.start();
		await until('the customer sees it ready', async () => await statusOf(ann) === 'ready', 20000);
		await shows(carl, 'the job', `[data-order="${id}"][data-status=ready]`);
		await until('the courier is told', async () => /ready to pick up/.test(await textOf(carl, '.notices')));

		await picture(carl, 'courier');
		await press(carl, `[data-order="${id}"] button`);
		await until('the customer sees it picked up', async () => await statusOf(ann) === 'picked-up');
		await shows(kim, 'it gone', `[data-order="${id}"][data-status=picked-up]`);
		await picture(ann, 'order');
		await press(carl, `[data-order="${id}"] button`);
		await until('the customer sees it delivered', async () => await statusOf(ann) === 'delivered');
		await until('and is told', async () => /has been delivered/.test(await textOf(ann, '.notices')));
		await shows(kim, 'it delivered', `[data-order="${id}"][data-status=delivered]`);

		for (const page of pages)
			assert.equal(await page.evaluate(() => window.isTheSame), true, `${page.signedIn}'s page was not loaded anew`);
		const times = await ann.$$eval('.steps time', (all) => all.map((t) => t.dateTime));
		assert.equal(times.length, STEPS.length, 'every step has its time');
		assert.deepEqual(times, [...times].sort());
		const { events } = await fanfare.history(`topic=order/${id}`);
		assert.deepEqual(events.map((e) => e.event), STEPS, 'each was published once');
		assert.deepEqual(complaints(...pages), []);
		for (const page of [kim, carl])
			await page.browserContext().close();
		await delivered?.page.browserContext().close();
		delivered = { id, page: ann };
		say(`${name}: the order is delivered`);
	});

test("a page of the Pages Router follows an order, and shows when it may not follow somebody else's", LIMIT, async () => {
	const { id, page: ann } = delivered;

	await ann.goto(`${next.origin}/track?order=${id}`);
	const lines = () => ann.$$eval('.lines li b', (all) => all.map((b) => b.innerText));
	await until('the steps are there', async () => (await lines()).length >= STEPS.length);
	await sleep(300);
	assert.deepEqual(await lines(), ['Placed', 'In the kitchen', 'Ready', 'On its way', 'Delivered']);
	await picture(ann, 'track');

	const eve = await person(await browserOf('chromium'), 'eve', 'customer');
	await eve.goto(`${next.origin}/track?order=${id}`);
	await until('she is refused', async () => /not yours/.test(await textOf(eve, '.refused')));
	assert.deepEqual(await eve.$$('.lines li'), []);
	const answer = await eve.goto(`${next.origin}/orders/${id}`);
	assert.equal(answer.status(), 404);
	assert.deepEqual(complaints(eve).filter((text) => !/404/.test(text)), []);
	for (const page of [eve, ann])
		await page.browserContext().close();
	await until('no stream is left', async () => await fanfare.streams() === 0);
});

test('who signs out in one tab is signed out of the stream in all', LIMIT, async () => {
	const one = await person(await browserOf('chromium'), 'zoe', 'customer');
	const two = await one.browserContext().newPage();
	two.signedIn = 'zoe';
	await two.goto(`${next.origin}/`);
	await live(one);
	await live(two);
	await one.bringToFront();		// a tab behind takes no clicks
	await order(one, 'Lemon tart');		// now its token grants more than the other's
	await live(one);
	assert.equal(await fanfare.streams(), 1);
	await press(one, '.who button');
	await until('the other tab is told', async () => await textOf(two, '.connection') === 'closed');
	await until('she is signed out', () => one.$('a.who'));
	await one.browserContext().close();
	await until('no stream is left', async () => await fanfare.streams() === 0);
});

test('who has ordered more than a page follows sees the newest live', LIMIT, async () => {
	const browser = await browserOf('chromium');
	const max = await person(browser, 'max', 'customer');
	const kim = await person(browser, 'kim', 'kitchen');
	let id;

	await max.bringToFront();
	for (let n = 0; n < 51; n++)
		id = await order(max, 'Tomato soup');
	await max.goto(`${next.origin}/`);
	await live(max);
	await live(kim);
	assert.equal((await max.$$('.lines li')).length, 50);
	await shows(kim, 'the newest order', `[data-order="${id}"][data-status=placed]`);
	await press(kim, `[data-order="${id}"] button`);
	await until('he sees it accepted', async () => await max.$eval('.lines .badge', (el) => el.dataset.status) === 'accepted', 10000);
	assert.equal(await max.$('.refused'), null);
	for (const page of [max, kim])
		await page.browserContext().close();
	await until('no stream is left', async () => await fanfare.streams() === 0);
});

test('moving between pages keeps the stream, and what happens meanwhile is seen', LIMIT, async () => {
	const browser = await browserOf('chromium');
	const bob = await person(browser, 'bob', 'customer');
	const id = await order(bob, 'Grilled sea bream');
	const kim = await person(browser, 'kim', 'kitchen');
	const kitchenDoes = async (status) => {
		await press(kim, `[data-order="${id}"] button`);
		await shows(kim, `it ${status}`, `[data-order="${id}"][data-status=${status}]`);
	};

	await shows(kim, 'the order', `[data-order="${id}"]`);
	await live(kim);
	await live(bob);
	await until('one stream each', async () => await fanfare.streams() === 2);
	await picture(bob, 'order-placed');
	await press(bob, '.brand');
	await shows(bob, 'the menu', '.menu');
	await live(bob);
	await picture(bob, 'menu');
	bob.asked.length = 0;

	// The same topics on both pages: the very same stream.
	for (let i = 0; i < 3; i++) {
		await press(bob, `.lines a[href="/orders/${id}"]`);
		await shows(bob, 'the order', '.steps');
		if (i === 1)
			await kitchenDoes('accepted');
		await press(bob, '.brand');
		await shows(bob, 'the menu', '.menu');
	}
	await until('the event that came on the way is shown', async () => await textOf(bob, '.lines .badge') === 'In the kitchen');
	assert.deepEqual(bob.asked, [], 'no stream was asked for');
	assert.equal(await fanfare.streams(), 2);

	// Other topics too: never a second stream, and nothing lost.
	await press(bob, 'nav a[href="/scores"]');
	await shows(bob, 'the scores', '.try');
	await kitchenDoes('ready');
	await press(bob, '.brand');
	await until('the step is shown', async () => await textOf(bob, '.lines .badge') === 'Ready');
	await until('one stream each', async () => await fanfare.streams() === 2);
	assert.deepEqual(complaints(bob, kim), []);
	for (const page of [bob, kim])
		await page.browserContext().close();
});

test('the first paint has the scores, and goals between it and the hydration are not lost', LIMIT, async () => {
	const match = (score) => ({ stage: 'Final', status: 'second-half', minute: '77', home: { name: 'Reds' }, away: { name: 'Blues' }, score });
	const scoreOf = (page, topic) => textOf(page, `[data-topic="${topic}"] b`);

	await fanfare.publish('scores/final', match([2, 1]), 'goal');
	const html = await fetch(`${next.origin}/scores`).then((r) => r.text());
	assert.match(html, /Reds.*2 : 1.*Blues/);

	const page = await person(await browserOf('chromium'), 'nobody');
	const held = [];
	let isHolding = true;
	await page.setRequestInterception(true);
	page.on('request', (r) => isHolding && r.resourceType() === 'script' ? held.push(r) : r.continue());
	const loaded = page.goto(`${next.origin}/scores`);
	await until('it is painted', async () => await scoreOf(page, 'scores/final') === '2 : 1');
	assert.ok(held.length > 0, 'scripts wait');
	await fanfare.publish('scores/final', match([3, 1]), 'goal');
	await fanfare.publish('scores/other', match([0, 1]), 'goal');
	assert.equal(await scoreOf(page, 'scores/final'), '2 : 1');
	isHolding = false;
	held.splice(0).forEach((r) => r.continue());
	await loaded;
	await until('the goal is shown', async () => await scoreOf(page, 'scores/final') === '3 : 1');
	await until('the new match is shown', async () => await scoreOf(page, 'scores/other') === '0 : 1');
	await fanfare.publish('scores/final', match([4, 1]), 'goal');
	await until('the next goal is shown', async () => await scoreOf(page, 'scores/final') === '4 : 1');
	assert.equal((await page.$$('[data-topic="scores/final"]')).length, 1);

	await page.click('.try button');
	await until('the own goal is shown', async () => await scoreOf(page, 'scores/house') === '1 : 0');
	assert.deepEqual(complaints(page), []);
	await run(path.join(contrib, 'demo-feed'), ['--url', fanfare.url, '--fast', '--to', '300'], { FANFARE_API_KEY: fanfare.key });
	await until('the tournament is shown', async () => (await page.$$('.match')).length > 60);
	await picture(page, 'scores');
	await page.browserContext().close();
});

test('an order that could not be announced is not lost', LIMIT, async () => {
	const browser = await browserOf('chromium');
	const dan = await person(browser, 'dan', 'customer');
	const kim = await person(browser, 'kim', 'kitchen');

	await live(kim);
	await fanfare.kill();
	const id = await order(dan, 'Lemon tart');
	assert.equal(await statusOf(dan), 'placed');
	await until('the announcement is given up', () => /not announced: /.test(next.said()), 15000);
	await fanfare.start();
	await shows(kim, 'the order, once it is back', `[data-order="${id}"]`, 30000);
	assert.deepEqual((await fanfare.history(`topic=order/${id}`)).events, [], 'no event told it');
	for (const page of [dan, kim])
		await page.browserContext().close();
	say('the order is not lost');
});

// How long an event takes to come through `origin`, in ms; asks for gzip as browsers do.
async function latency(origin) {
	const response = await fetch(`${origin}/live/events?topic=scores/latency`, { headers: { accept: 'text/event-stream', 'accept-encoding': 'gzip, deflate, br' } });
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	const times = [];
	let text = '';

	assert.equal(response.status, 200);
	for (let i = 0; i < 5; i++) {
		const word = `number ${i} of ${origin}`;
		const begin = Date.now();
		await fanfare.publish('scores/latency', word);
		while (!text.includes(word)) {
			const { value, done } = await Promise.race([reader.read(), sleep(5000).then(() => ({ done: true }))]);
			if (done)
				return Infinity;
			text += value;
		}
		times.push(Date.now() - begin);
	}
	await reader.cancel();
	return Math.max(...times);
}

test('E15: a rewrite does not hold events back, with compression on: next start', LIMIT, async () => {
	const ms = await latency(next.origin);
	say(`through next start: ${ms} ms at most`);
	assert.ok(ms < 1000, `${ms} ms`);
});

test('E15: next dev: strict mode makes one stream and no repeats, a rewrite does not hold events back', LIMIT, async () => {
	await next.kill('SIGKILL');	// frees memory; SIGTERM waits for browsers to leave
	await serveNext(dev, dev.port);
	say('next dev');
	const ms = await latency(dev.origin);
	say(`through next dev: ${ms} ms at most`);
	assert.ok(ms < 1000, `${ms} ms`);
	const oneStream = () => until('one stream', async () => await fanfare.streams() === 1);
	await until('the stream has ended with its reader', async () => await fanfare.streams() === 0);

	const page = await person(await browserOf('chromium'), 'fay', 'customer', dev);
	await page.goto(`${dev.origin}/`);
	await page.click('input[value="Lemon tart"]');
	await page.click('.menu button');
	await shows(page, 'the order', '.steps', 30000);
	await live(page);
	const id = page.url().split('/').pop();
	await oneStream();
	const data = { id, customer: 'fay', items: [], total: 7, status: 'accepted' };

	await page.goto('about:blank');	// what the page before asks for is not counted
	page.asked.length = 0;
	await page.goto(`${dev.origin}/track?order=${id}`);
	const lines = () => page.$$eval('.lines li b', (all) => all.map((b) => b.innerText));
	await until('the order is there', async () => (await lines()).length > 0, 30000);
	await fanfare.publish(`order/${id}`, data, 'accepted');
	await until('the event is there', async () => (await lines()).length > 1);
	await sleep(500);
	assert.deepEqual(await lines(), ['Placed', 'In the kitchen']);
	assert.equal(page.asked.length, 1, page.asked.join('\n'));
	await oneStream();

	await page.goto('about:blank');	// what the page before asks for is not counted
	page.asked.length = 0;
	await page.goto(`${dev.origin}/orders/${id}`);
	await live(page);
	await fanfare.publish(`order/${id}`, { ...data, status: 'ready' }, 'ready');
	await until('it is shown', async () => await statusOf(page) === 'ready');
	assert.equal(page.asked.length, 1, page.asked.join('\n'));
	await oneStream();
	assert.deepEqual(complaints(page), []);
});

test('npm run fanfare makes the secrets once and runs a server with them', LIMIT, async () => {
	const url = `http://127.0.0.1:${(await freePorts(1))[0]}`;
	const file = path.join(app, '.env.local');
	const [command, ...args] = JSON.parse(fs.readFileSync(path.join(app, 'package.json'), 'utf8')).scripts.fanfare.split(' ');
	const server = new Program('npm-run-fanfare', command, args,
		{ cwd: app, env: { PATH: env.PATH, FANFARE_BIN: binary, FANFARE_URL: url } });
	const texts = [];

	for (let i = 0; i < 2; i++) {
		server.start();
		await server.answers(`${url}/healthz`);
		atEnd(() => server.kill('SIGTERM'));
		texts.push(fs.readFileSync(file, 'utf8'));
		await server.kill('SIGTERM');
		await until('it is gone', () => fetch(url).then(() => false, () => true));
	}
	assert.equal(texts[0], texts[1]);
	assert.equal(fs.statSync(file).mode & 0o777, 0o600);
	assert.match(texts[0], /FANFARE_API_KEY=ffk_/);
});
