// reasons.mjs - why a stream ends, as fanfare.close says it, and what contrib/js/fanfare.js
// makes of that in real browsers: `overload` and `revoked`.
//
//     FANFARE_BIN=../../fanfare node reasons.mjs
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BROWSERS, LIMIT, Server, finish, launch, mint, openPage, site, sleep, until } from './harness.mjs';

const page = `<!DOCTYPE html><link rel="icon" href="data:,"><title>reasons</title><script type="module">
const server = new URLSearchParams(location.search).get('server');
const { Fanfare } = await import(server + '/fanfare.js');
Object.assign(window, { got: [], states: [],
	begin(topic, { tokenUrl, ...options }) {
		window.live = new Fanfare(server, { ...(tokenUrl ? { token: () => fetch(tokenUrl).then((r) => r.text()) } : {}), ...options });
		live.on(topic, (e) => got.push(e.data));
		live.watch((s) => states.push(s));
	},
});
window.ready = true;
</script>`;

const seconds = () => Math.floor(Date.now() / 1000);
let pages, asked = 0, issue;

before(async () => {
	pages = await site({ '/': page, '/token': (_, response) => {
		asked++;
		response.writeHead(200, { 'content-type': 'text/plain' }).end(issue());
	} });
}, LIMIT);
after(finish, LIMIT);

const serve = (name, ...options) => Server.make(name, { isPublic: false,
	options: ['--server.cors_origins=*', '--topics.authenticated=user/{sub}/**', ...options] });
async function open(browser, server, topic, options) {
	const p = await openPage(browser, `${pages.origin}/?server=${server.origin}`);

	await until('the module is there', () => p.evaluate(() => window.ready));
	await p.evaluate((...a) => window.begin(...a), topic, options);
	return p;
}
const state = (p) => p.evaluate(() => window.live.state);
const states = (p) => p.evaluate(() => window.states);
const got = (p) => p.evaluate(() => window.got);
const becomes = (p, status) => until(status, async () => (await state(p)).status === status)
	.catch(async (e) => assert.fail(`${e.message}: ${JSON.stringify(await states(p))}`));
async function revoke(server, sub) {
	const r = await fetch(`${server.origin}/revoke`, { method: 'POST', headers: { authorization: `Bearer ${server.key}` }, body: JSON.stringify({ sub }) });

	assert.equal(r.status, 200);
	return (await r.json()).ended;
}

for (const name of BROWSERS) {
	test(`${name}: overload: a page that finds no room is told why, and is let in when there is some`, LIMIT, async () => {
		const server = await serve(`overload-${name}`, '--server.max_streams_per_token=1');
		const browser = await launch(name);
		const options = { token: mint({ sub: '7' }), shared: false };
		const first = await open(browser, server, 'user/7/a', options);
		await becomes(first, 'live');
		const second = await open(browser, server, 'user/7/a', options);

		await until('the second is told', async () => (await states(second)).some((s) => s.reason === 'overload'));
		const told = (await states(second)).find((s) => s.reason === 'overload');
		assert.match(told.detail, /server\.max_streams_per_token/);
		await sleep(1000);
		const all = await states(second);
		assert.deepEqual(all.filter((s) => ['live', 'polling', 'closed'].includes(s.status)), []);
		assert.ok(all.length < 10, `${all.length} states in a second`);
		assert.equal((await state(first)).status, 'live');
		await first.evaluate(() => window.live.close());
		await becomes(second, 'live');
		await server.publish('user/7/a', 'after');
		await until('it hears', async () => (await got(second)).length > 0);
		assert.deepEqual(await got(second), ['after']);
		assert.equal((await state(second)).reason, undefined);
		await browser.close();
		await server.kill();
	});

	test(`${name}: revoked: a page that gets a new token goes on, and has missed nothing`, LIMIT, async () => {
		const server = await serve(`renewed-${name}`);
		const browser = await launch(name);
		issue = () => mint({ sub: '8', iat: seconds() });
		const tabs = [await open(browser, server, 'user/8/a', { tokenUrl: '/token' }), await open(browser, server, 'user/8/a', { tokenUrl: '/token' })];
		for (const tab of tabs)
			await becomes(tab, 'live');

		// What was issued before is of another second.
		await sleep(1100);
		assert.equal(await revoke(server, '8'), 1);
		await server.publish('user/8/a', 'meanwhile');
		for (const tab of tabs) {
			await until('it hears', async () => (await got(tab)).length > 0);
			await becomes(tab, 'live');
			const reasons = (await states(tab)).map((s) => s.reason);
			assert.ok(reasons.includes('revoked'), `${reasons}`);
			assert.deepEqual(await got(tab), ['meanwhile']);
		}
		await browser.close();
		await server.kill();
	});

	test(`${name}: revoked: with the same token again it waits longer and longer, and another one lets it in`, LIMIT, async () => {
		const server = await serve(`same-${name}`);
		const browser = await launch(name);
		const old = mint({ sub: '9', iat: seconds() - 5 });
		issue = () => old;
		const tab = await open(browser, server, 'user/9/a', { tokenUrl: '/token' });
		await becomes(tab, 'live');

		asked = 0;
		assert.equal(await revoke(server, '9'), 1);
		await until('it asks for another', () => asked > 1);
		await sleep(2000);
		assert.ok(asked < 10, `${asked} tokens`);
		assert.equal((await state(tab)).status, 'reconnecting');
		issue = () => mint({ sub: '9', iat: seconds() });
		await becomes(tab, 'live');
		await server.publish('user/9/a', 'again');
		await until('it hears', async () => (await got(tab)).length > 0);
		assert.deepEqual(await got(tab), ['again']);
		await browser.close();
		await server.kill();
	});

	test(`${name}: revoked: where there is no other token, that is the end in all tabs that share`, LIMIT, async () => {
		const server = await serve(`end-${name}`);
		const browser = await launch(name);
		const token = mint({ sub: '10', iat: seconds() - 5 });
		const tabs = [await open(browser, server, 'user/10/a', { token }), await open(browser, server, 'user/10/a', { token })];
		for (const tab of tabs)
			await becomes(tab, 'live');

		assert.equal(await revoke(server, '10'), 1);
		for (const tab of tabs)
			await becomes(tab, 'closed');
		// Who did not have the stream tries whether its own token is still good.
		const reasons = (await Promise.all(tabs.map(state))).map((s) => s.reason);
		assert.ok(reasons.includes('revoked') && reasons.every((r) => r === 'revoked' || r === 'unauthorized'), `${reasons}`);
		await until('no stream is left', async () => await server.streams() === 0);
		await browser.close();
		await server.kill();
	});
}
