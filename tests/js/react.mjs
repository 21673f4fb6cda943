// react.mjs - contrib/js/react.js with React 18 and 19, in development builds (StrictMode
// mounts everything twice there), in a real browser with a real server.
import assert from 'node:assert/strict';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { build } from 'esbuild';
import { LIMIT, Server, contrib, finish, launch, mint, openPage, site, sleep, tmp, top, until } from './harness.mjs';

// window.show({ lists, provider }) renders one <List> for each of `lists`; what it showed is in
// the page, all that it ever rendered in log.renders[name], what it was told in log.told[name].
const source = `
import * as React from 'react';
import { FanfareProvider, useFanfare, useFanfareClient, useFanfareStatus } from '${contrib}/js/react.js';

const h = React.createElement;
const log = globalThis.log = { renders: {}, told: {}, gaps: {} };
const note = (what, name, value) => (log[what][name] ??= []).push(value);

function List({ name, topics, ...options }) {
	const live = useFanfare(topics, { ...options, onEvent: (e) => note('told', name, e.data), onGap: (g) => note('gaps', name, g.reason) });
	const text = live.events.map((e) => e.data).join(' ');

	note('renders', name, text);
	return h('p', { id: name, 'data-refused': live.refused, 'data-latest': live.latest?.data }, text);
}

function Status() {
	const { status } = useFanfareStatus();

	globalThis.client = useFanfareClient();
	note('renders', 'status', status);
	return h('i', null, status);
}

function App({ lists, provider, hidden }) {
	const all = lists.map((l) => h(List, { key: l.name, ...l }));
	const shown = hidden === undefined ? all : h(React.Activity, { mode: hidden ? 'hidden' : 'visible' }, all);

	return h(React.StrictMode, null, provider === null ? shown : h(FanfareProvider, provider, h(Status), shown));
}
`;

const ends = {
	browser: `
import { createRoot, hydrateRoot } from 'react-dom/client';
let root;
const at = document.getElementById('root');
const onError = (e) => { window.errors.push(e.message); };
Object.assign(window, { errors: [],
	show: (state) => (root ??= createRoot(at, { onUncaughtError: onError })).render(h(App, state)),
	hydrate: (state) => { root = hydrateRoot(at, h(App, state), { onRecoverableError: onError }); },
	unmount: () => root.unmount(),
});`,
	node: `
import { renderToString } from 'react-dom/server';
export const { version } = React;
export const toHtml = (state) => renderToString(h(App, state));`,
};

async function bundle(react, dom, platform) {
	const outfile = path.join(tmp, `${react}-${platform}.${platform === 'node' ? 'cjs' : 'js'}`);
	const at = (name) => path.join(top, 'tests/js/node_modules', name);

	await build({ stdin: { contents: source + ends[platform], resolveDir: top, sourcefile: 'page.js' }, bundle: true, outfile, platform,
		format: platform === 'node' ? 'cjs' : 'iife', define: { 'process.env.NODE_ENV': '"development"' },
		alias: { react: at(react), 'react-dom': at(dom) }, logLevel: 'error' });
	return outfile;
}

let server, pages, chromium, firefox;
const routes = {};

before(async () => {
	server = await Server.make('react', { options: ['--server.cors_origins=*'] });
	pages = await site(routes);
	[chromium, firefox] = await Promise.all([launch('chromium'), launch('firefox')]);
}, LIMIT);
after(finish, LIMIT);

const html = (version, inner = '') => `<!DOCTYPE html><link rel="icon" href="data:,"><title>react</title><div id="root">${inner}</div><script src="/${version}.js"></script>`;

async function open(version, browser = chromium, url = `/${version}`) {
	const page = await openPage(browser, 'about:blank');

	Object.assign(page, { asked: [], complaints: [] });
	page.on('console', (m) => ['error', 'warn', 'warning'].includes(m.type()) && page.complaints.push(m.text()));
	page.on('request', (r) => /\/events\?/.test(r.url()) && page.asked.push(r.url()));
	await page.goto(pages.origin + url);
	return page;
}

const provider = (more) => ({ url: server.origin, shared: false, ...more });
const show = (page, lists, more = {}) => page.evaluate((s) => window.show(s), { provider: provider(), ...more, lists });
const textOf = (page, id) => page.$eval(`#${id}`, (el) => el.textContent).catch(() => undefined);
const log = (page) => page.evaluate(() => globalThis.log);
const live = (page) => until('live', () => page.$eval('i', (el) => el.textContent === 'live'), 10000);
async function shows(page, id, text) {
	await until(`${id} shows "${text}"`, async () => await textOf(page, id) === text, 10000)
		.catch(async (e) => assert.fail(`${e.message}, but "${await textOf(page, id)}"`));
}
const publish = async (topic, ...words) => server.publish(words.map((data) => ({ topic, data })));
const history = (query) => server.history(query);
// Long enough for a second stream, or a repeat, to show itself.
const settle = () => sleep(400);

// Closes the page, after the checks that are the same for all.
async function done(page, streams = 1) {
	assert.deepEqual(page.complaints, []);
	assert.deepEqual(await page.evaluate(() => window.errors), []);
	await until(`${streams} streams`, async () => await server.streams() === streams, 5000);
	await page.close();
	await until('no stream is left', async () => await server.streams() === 0, 5000);
}

let n = 0;
const topicOf = (name) => `${name}/${n++}`;

for (const [version, react, dom] of [['18', 'react-18', 'react-dom-18'], ['19', 'react', 'react-dom']])
	describe(`React ${version}`, LIMIT, () => {
		let toHtml;

		before(async () => {
			const { readFile } = await import('node:fs/promises');
			routes[`/${version}`] = html(version);
			routes[`/${version}.js`] = { type: 'text/javascript', body: await readFile(await bundle(react, dom, 'browser')) };
			const module = await import(pathToFileURL(await bundle(react, dom, 'node')));
			assert.equal(module.default.version.split('.')[0], version);
			toHtml = module.default.toHtml;
		});

		test('the double mount of StrictMode leaves one stream, and each event is shown and told once', LIMIT, async () => {
			for (const browser of [chromium, firefox]) {
				const topic = topicOf('strict');
				await publish(topic, 'a', 'b');
				const page = await open(version, browser);
				await show(page, [{ name: 'one', topics: topic, replay: 1 }, { name: 'two', topics: [topic], initial: await history(`topic=${topic}`) }]);
				await live(page);
				await publish(topic, 'c', 'd');
				await shows(page, 'one', 'b c d');
				await shows(page, 'two', 'a b c d');
				await settle();
				await shows(page, 'one', 'b c d');
				await shows(page, 'two', 'a b c d');
				assert.deepEqual((await log(page)).told, { one: ['b', 'c', 'd'], two: ['c', 'd'] });
				assert.equal(page.asked.length, 1, page.asked.join('\n'));
				await done(page);
			}
		});

		test('topics in a new array, a new token function and new handlers with each render change nothing', LIMIT, async () => {
			const topic = topicOf('again');
			const page = await open(version);
			for (let i = 0; i < 20; i++)
				await show(page, [{ name: 'one', topics: [topic, `${topic}/more`] }]);
			await live(page);
			for (let i = 0; i < 20; i++) {
				await publish(topic, String(i));
				await show(page, [{ name: 'one', topics: [topic, `${topic}/more`] }]);
			}
			await shows(page, 'one', Array.from({ length: 20 }, (_, i) => i).join(' '));
			assert.equal(page.asked.length, 1);
			await done(page);
		});

		test('other topics begin anew at once, and no event of the old ones is shown', LIMIT, async () => {
			const [a, b] = [topicOf('a'), topicOf('b')];
			await publish(a, 'a1', 'a2');
			await publish(b, 'b1', 'b2');
			const page = await open(version);
			await show(page, [{ name: 'one', topics: a, replay: 5 }]);
			await shows(page, 'one', 'a1 a2');
			await show(page, [{ name: 'one', topics: b, replay: 5 }]);
			await publish(a, 'a3');
			await publish(b, 'b3');
			await shows(page, 'one', 'b1 b2 b3');
			await show(page, [{ name: 'one', topics: [b, a], replay: 5 }]);
			await shows(page, 'one', 'a1 a2 b1 b2 a3 b3');
			await show(page, [{ name: 'one', topics: null }]);
			await shows(page, 'one', '');
			await publish(a, 'a4');
			// With what the server rendered for them.
			await show(page, [{ name: 'one', topics: a, initial: await history(`topic=${a}&replay=2`) }]);
			await shows(page, 'one', 'a3 a4');
			await publish(a, 'a5');
			await shows(page, 'one', 'a3 a4 a5');
			// Others, with what was rendered for the old ones: nothing of that is shown.
			const old = await history(`topic=${a}`);
			await show(page, [{ name: 'two', topics: a, initial: old }]);
			await shows(page, 'two', 'a1 a2 a3 a4 a5');
			await publish(b, 'b4');
			await show(page, [{ name: 'two', topics: b, initial: old }]);
			await shows(page, 'two', 'b4');
			await show(page, [{ name: 'three', topics: a, initial: old, replay: 5 }]);
			await shows(page, 'three', 'a1 a2 a3 a4 a5');
			await show(page, [{ name: 'three', topics: b, initial: old, replay: 5 }]);
			await shows(page, 'three', 'b1 b2 b3 b4');
			const { renders } = await log(page);
			assert.deepEqual(renders.one.filter((t) => /a/.test(t) && /b/.test(t) && !/^a1/.test(t)), []);
			await done(page);
		});

		test('what a server rendered is hydrated without a mismatch, and the stream goes on from there', LIMIT, async () => {
			const topic = topicOf('ssr');
			await publish(topic, 'a', 'b');
			const state = { provider: provider(), lists: [{ name: 'one', topics: topic, initial: await history(`topic=${topic}`) }] };
			const rendered = toHtml(state);
			assert.match(rendered, /<i>connecting<\/i><p id="one" data-latest="b">a b<\/p>/);
			routes[`/${version}/ssr`] = html(version, rendered);
			await publish(topic, 'c');
			const page = await open(version, chromium, `/${version}/ssr`);
			await shows(page, 'one', 'a b');
			await publish(topic, 'd');
			await page.evaluate((s) => window.hydrate(s), state);
			await shows(page, 'one', 'a b c d');
			await publish(topic, 'e');
			await shows(page, 'one', 'a b c d e');
			const { told, renders } = await log(page);
			assert.deepEqual(told.one, ['c', 'd', 'e']);
			assert.equal(renders.one[0], 'a b');
			await done(page);
		});

		test('a server that was down or has another log: a gap, then a replay or what is rendered anew', LIMIT, async () => {
			const topic = topicOf('gap');
			await publish(topic, 'a');
			const page = await open(version);
			const lists = async () => [{ name: 'one', topics: topic, replay: 9 }, { name: 'two', topics: topic, initial: await history(`topic=${topic}`) }];
			await show(page, await lists());
			await live(page);
			await publish(topic, 'b');
			await server.kill();
			await server.start();
			await publish(topic, 'c');
			await shows(page, 'one', 'a b c');
			await shows(page, 'two', 'a b c');

			await server.kill();
			server.wipe();
			await server.start();
			await publish(topic, 'x');
			await shows(page, 'one', 'x');
			await until('the gap is told', async () => (await log(page)).gaps.two?.length === 1, 10000);
			// What was rendered before the last event: that one comes again, and is not told again.
			const fresh = await lists();
			await publish(topic, 'y');
			await shows(page, 'one', 'x y');
			await until('two goes on', async () => (await textOf(page, 'two')).endsWith('y'));
			await show(page, fresh);
			await shows(page, 'two', 'x y');
			await publish(topic, 'z');
			await shows(page, 'one', 'x y z');
			await shows(page, 'two', 'x y z');
			const { told } = await log(page);
			assert.deepEqual(told.one, ['a', 'b', 'c', 'x', 'y', 'z']);
			assert.deepEqual(told.two.filter((w) => w !== 'x'), ['b', 'c', 'y', 'z']);
			page.complaints = page.complaints.filter((text) => !/ERR_/.test(text));
			await done(page);
		});

		test('keep counts by topic', LIMIT, async () => {
			const topic = topicOf('keep');
			const page = await open(version);
			await show(page, [{ name: 'one', topics: `${topic}/*`, keep: 1 }, { name: 'two', topics: `${topic}/*`, keep: 2 }, { name: 'none', topics: `${topic}/*`, keep: 0 }]);
			await live(page);
			await publish(`${topic}/x`, 'x1');
			await publish(`${topic}/y`, 'y1', 'y2', 'y3');
			await shows(page, 'one', 'x1 y3');
			await shows(page, 'two', 'x1 y2 y3');
			await publish(`${topic}/x`, 'x2');
			await shows(page, 'one', 'y3 x2');
			await shows(page, 'none', '');
			assert.equal((await log(page)).told.none.length, 5);
			await done(page);
		});

		test('a hook without a provider says so', LIMIT, async () => {
			const page = await open(version);
			await page.evaluate(() => {
				window.addEventListener('error', (e) => { window.errors.push(e.message); e.preventDefault(); });
			});
			await show(page, [{ name: 'one', topics: 'a' }], { provider: null });
			await until('the error', () => page.evaluate(() => window.errors.some((e) => /useFanfare needs a <FanfareProvider> above it/.test(e))), 5000);
			chromium.failures.length = 0;
			await page.close();
		});

		test('an unmounted provider leaves no stream', LIMIT, async () => {
			const page = await open(version);
			await show(page, [{ name: 'one', topics: topicOf('gone') }]);
			await live(page);
			await page.evaluate(() => window.unmount());
			await until('it is closed', () => page.evaluate(() => window.client.state.reason === 'left'), 5000);
			await done(page, 0);
		});
	});

test('a part of the page that was hidden (Activity) gets what it missed when it is shown again, once', LIMIT, async () => {
	const topic = topicOf('activity');
	const page = await open('19');
	const lists = [{ name: 'one', topics: topic }];
	await show(page, lists, { hidden: false });
	await live(page);
	await publish(topic, 'a', 'b');
	await shows(page, 'one', 'a b');
	await show(page, lists, { hidden: true });
	await until('it left', () => page.$eval('#one', (el) => el.style.display === 'none'));
	await settle();
	await publish(topic, 'c', 'd');
	await settle();
	await show(page, lists, { hidden: false });
	await publish(topic, 'e');
	await shows(page, 'one', 'a b c d e');
	assert.deepEqual((await log(page)).told.one, ['a', 'b', 'c', 'd', 'e']);
	await done(page);
});

test("another user gets another stream and sees nothing of the first one's; who may not see it is told", LIMIT, async () => {
	const closed = await Server.make('closed', { isPublic: false, options: ['--server.cors_origins=*', '--topics.authenticated=user/{sub}/**'] });
	let user = 'ann';
	routes['/token'] = (request, response) => void (user === null ? response.writeHead(401).end() : response.end(mint({ sub: user })));
	const page = await open('19');
	const own = (name) => show(page, [{ name: 'one', topics: `user/${name}/notices`, replay: 9 }, { name: 'other', topics: 'user/ann/notices', replay: 9 },
		{ name: 'both', topics: ['user/ann/notices', `user/${name}/notices`], replay: 9 }],
		{ provider: { url: closed.origin, user: name, tokenUrl: '/token' } });

	await closed.publish('user/ann/notices', 'for-ann');
	await closed.publish('user/bob/notices', 'for-bob');
	await own('ann');
	await shows(page, 'one', 'for-ann');
	user = 'bob';
	await own('bob');
	await shows(page, 'one', 'for-bob');
	await until('he is refused', () => page.$eval('#other', (el) => el.dataset.refused), 10000);
	await shows(page, 'other', '');
	await closed.publish('user/bob/notices', 'more');
	await shows(page, 'one', 'for-bob more');
	await shows(page, 'both', 'for-bob more');
	assert.match(await page.$eval('#both', (el) => el.dataset.refused), /user\/ann/);
	assert.equal(await closed.streams(), 1);
	const { told, renders } = await log(page);
	assert.deepEqual(told.one, ['for-ann', 'for-bob', 'more']);
	assert.ok(!renders.status.includes('closed'), 'between the two it connects, and is not closed');
	await page.close();
	assert.deepEqual([chromium.failures, firefox.failures], [[], []]);
});
