// following.mjs - where contrib/js/fanfare.js begins, what it is refused, and what it says
// of it, in real browsers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CORS, between, follow, got, hears, isLive, numbers, open, page, state } from './client-page.mjs';
import { BROWSERS, LIMIT, Server, finish, launch, mint, site, sleep, until } from './harness.mjs';

after(finish, LIMIT);

// How often the page asked for what, by path.
function asked(p) {
	const counts = { '/events': 0, '/history': 0 };

	p.on('request', (r) => counts[new URL(r.url()).pathname]++);
	return counts;
}

for (const name of BROWSERS) describe(name, { timeout: 300000 }, () => {
	let browser;

	before(async () => {
		browser = await launch(name);
	}, LIMIT);
	after(() => browser.close(), LIMIT);

	test('a position that the browser kept for days takes nobody back', LIMIT, async () => {
		const s = await Server.make(`kept-${name}`, { options: [...CORS.options, '--stream.max_replay=200'] });
		const begin = async (topic, options) => {
			const p = await open(browser, s, {});
			await follow(p, 'first', topic, options);
			await isLive(p);
			return p;
		};
		await s.publish('quiet', 'q');
		const first = await begin('other');
		await follow(first, 'q', 'quiet', { replay: 1 });
		await hears(first, 'q', ['q']);
		await first.close();
		for (let i = 0; i < 5; i++)
			await s.publish(numbers(1, 100).map((n) => ({ topic: 'busy', data: n })));
		const p = await begin('busy');
		const counts = asked(p);
		await follow(p, 'q', 'quiet', { replay: 1 });
		await hears(p, 'q', ['q']);
		await sleep(2000);
		assert.deepEqual(await p.evaluate(() => window.gaps), []);
		assert.deepEqual(counts, { '/events': 1, '/history': 1 });
		await s.publish('busy', 'on');
		await hears(p, 'first', ['on']);
		await p.close();
		await s.kill();
	});

	test('positions that are too old again and again are not asked for in a fast loop', LIMIT, async () => {
		const s = await Server.make(`old-${name}`, { options: [...CORS.options, '--stream.max_replay=20'] });
		const { cursor } = await s.history('topic=quiet');
		await s.publish(numbers(1, 50).map((n) => ({ topic: 'busy', data: n })));
		// As a shared cache would.
		const old = await between(s, (request, response, forward) => (!request.url.startsWith('/history') ? forward() :
			response.writeHead(200, { 'access-control-allow-origin': '*' }).end(JSON.stringify({ events: [], cursor, gap: null }))));
		const p = await open(browser, s);
		await p.evaluate((at) => window.begin({}, at), old.origin);
		await follow(p, 'busy', 'busy');
		await isLive(p);
		const counts = asked(p);
		await follow(p, 'q', 'quiet', { replay: 1 });
		await sleep(6000);
		assert.ok(counts['/history'] > 1 && counts['/history'] < 15, JSON.stringify(counts));
		assert.ok(counts['/events'] <= counts['/history'], JSON.stringify(counts));
		await p.close();
		await s.kill();
	});

	test('a topic that the token does not allow is refused alone, also in a list', LIMIT, async () => {
		const s = await Server.make(`list-${name}`, { ...CORS, isPublic: false,
			options: [...CORS.options, '--topics.authenticated=user/{sub}/**'] });
		const p = await open(browser, s, { text: mint({ sub: '9' }) });
		const topics = ['user/8/a', 'user/9/a', 'user/8/b', 'user/9/b'];
		await s.publish('user/9/a', 'old');
		await follow(p, 'new', topics);
		await follow(p, 'all', topics, { replay: 1 });
		await isLive(p);
		await hears(p, 'all', ['old']);
		await until('both are told of both', async () => (await p.evaluate(() => window.refused)).length === 4);
		await s.publish('user/9/b', 'in');
		await hears(p, 'all', ['old', 'in']);
		await hears(p, 'new', ['in']);
		for (const n of ['new', 'all'])
			assert.equal((await p.evaluate(() => window.refused)).filter((r) => r.startsWith(n) && /user\/8\/[ab]/.test(r)).length, 2);
		assert.match(await p.evaluate(() => window.stops.all()), /-2$/, 'where to go on');
		await p.close();
		await s.kill();
	});

	test('a list of 120 topics begins in the past too, and each event comes once', LIMIT, async () => {
		const s = await Server.make(`list-120-${name}`, CORS);
		const list = [...numbers(1, 120).map((n) => `many/${n}`), `long/${'x'.repeat(900)}`, `long/${'y'.repeat(900)}`, 'many/*'];
		const { cursor } = await s.history('topic=many/1');
		await s.publish(numbers(1, 120).map((n) => ({ topic: `many/${n}`, data: n })));
		const p = await open(browser, s, {});
		await follow(p, 'replay', list, { replay: 1 });
		await hears(p, 'replay', numbers(1, 120));
		await isLive(p);
		await follow(p, 'after', list, { after: cursor });
		await hears(p, 'after', numbers(1, 120));
		await s.publish(numbers(121, 125).map((n) => ({ topic: `many/${n - 120}`, data: n })));
		for (const n of ['replay', 'after'])
			await hears(p, n, numbers(1, 125));
		assert.deepEqual(await p.evaluate(() => [window.refused, window.gaps]), [[], []]);
		await p.close();
		await s.kill();
	});

	test('a gap in one part of a long list is told once, before anything is given', LIMIT, async () => {
		const s = await Server.make(`list-gap-${name}`, { options: [...CORS.options, '--stream.max_replay=40'] });
		const p = await open(browser, s, {});
		await follow(p, 'first', 'other');
		await isLive(p);
		const { cursor } = await s.history('topic=many/1');
		await s.publish('many/1', 'a');
		await s.publish(numbers(1, 50).map(() => ({ topic: 'many/100', data: 'b' })));
		await p.evaluate((topics, after) => {
			window.told = [];
			live.on(topics, (e) => told.push(e.data), { after, replay: 2, gap: (g) => told.push(g.reason) });
		}, numbers(1, 120).map((n) => `many/${n}`), cursor);
		await until('all of it', async () => (await p.evaluate(() => window.told)).length === 4);
		assert.deepEqual(await p.evaluate(() => window.told), ['too_far', 'a', 'b', 'b']);
		await p.close();
		await s.kill();
	});

	test('a token of 4 kB makes no stream of its own of each topic', LIMIT, async () => {
		const s = await Server.make(`long-${name}`, { ...CORS, isPublic: false, options: [...CORS.options, '--topics.authenticated=user/{sub}/**'] });
		const w = await site({ '/': page, '/token': (_, response) => { response.end(mint({ sub: '9', pad: 'x'.repeat(2900) })); } });
		const p = await open(browser, s, { token: '/token' }, w);
		for (const n of numbers(1, 8))
			await follow(p, `n${n}`, `user/9/${n}`);
		await isLive(p);
		assert.equal(await s.streams(), 1);
		await p.close();
		await s.kill();
	});

	test('a /history that takes longer than ten seconds is waited for while it comes', LIMIT, async () => {
		const s = await Server.make(`slow-${name}`, CORS);
		let times = 0;
		await s.publish(numbers(1, 30).map((n) => ({ topic: 'slow', data: n })));
		const slow = await between(s, async (request, response, forward) => {
			if (!request.url.startsWith('/history'))
				return forward();
			times++;
			const text = await fetch(`${s.origin}${request.url}`).then((r) => r.text());
			response.writeHead(200, { 'access-control-allow-origin': '*' });
			for (let i = 0; i < 24 && !response.destroyed; i++) {
				response.write(text.slice(i * text.length / 24, (i + 1) * text.length / 24));
				await sleep(500);
			}
			response.end();
		});
		const p = await open(browser, s);
		await p.evaluate((at) => window.begin({}, at), slow.origin);
		await follow(p, 'n', 'slow', { replay: 30 });
		await hears(p, 'n', numbers(1, 30));
		assert.equal(times, 1);
		await isLive(p);
		await s.publish('slow', 31);
		await hears(p, 'n', numbers(1, 31));
		await p.close();
		await s.kill();
	});

	test('a /history that fails is told, and only who begins in the past waits for it', LIMIT, async () => {
		const s = await Server.make(`fails-${name}`, CORS);
		let fails = true;
		await s.publish('f', 1);
		const proxy = await between(s, (request, response, forward) => (!fails || !request.url.startsWith('/history') ? forward() :
			response.writeHead(503, { 'access-control-allow-origin': '*' }).end()));
		const p = await open(browser, s);
		await p.evaluate((at) => window.begin({}, at), proxy.origin);
		await follow(p, 'plain', 'f');
		await isLive(p);
		await follow(p, 'past', 'f', { replay: 1 });
		await until('it is told', async () => (await state(p)).reason === 'history');
		assert.match((await state(p)).detail, /503/);
		await s.publish('f', 2);
		await hears(p, 'plain', [2]);
		assert.deepEqual(await got(p, 'past'), []);
		fails = false;
		await isLive(p);
		await hears(p, 'past', [2]);
		await p.close();
		await s.kill();
	});

	test('the reason is what is so now: a token function that failed and works again is none', LIMIT, async () => {
		const s = await Server.make(`reason-${name}`, { ...CORS, isPublic: false, options: [...CORS.options, '--topics.authenticated=user/{sub}/**'] });
		let fails = false;
		const w = await site({ '/': page, '/token': (_, response) => {
			response.writeHead(fails ? 500 : 200).end(mint({ sub: '9', exp: Math.floor(Date.now() / 1000) + (fails === false ? 3 : 600) }));
		} });
		const p = await open(browser, s, { token: '/token', poll: 300 }, w);
		await follow(p, 'n', 'user/9/n');
		await isLive(p);
		fails = true;
		await until('it is told', async () => (await state(p)).reason === 'token');
		await s.kill();
		fails = undefined;
		await until('the server is the reason', async () => /^(lost|refused)$/.test((await state(p)).reason));
		await s.start();
		await isLive(p);
		await p.close();
		await s.kill();
	});

	test('an overloaded server is told with its words, and never live is not yet reconnecting', LIMIT, async () => {
		const s = await Server.make(`full-${name}`, { options: [...CORS.options, '--server.max_streams_per_ip=1'] });
		const first = await open(browser, s, {});
		await follow(first, 'n', 'full');
		await isLive(first);
		const p = await open(browser, s, { shared: false });
		await p.evaluate(() => { window.said = []; live.watch(({ reason, detail }) => said.push([reason, detail])); });
		await follow(p, 'n', 'full');
		await until('it is told', async () => (await state(p)).reason === 'overload');
		await sleep(500);
		assert.deepEqual([...new Set(await p.evaluate(() => window.states))], ['connecting overload']);
		for (const [reason, detail] of await p.evaluate(() => window.said))
			assert.match(`${reason}: ${detail}`, /^overload: .* /);
		await first.close();
		await p.close();
		await s.kill();
	});

	test('nothing went wrong in any page', LIMIT, () => {
		assert.deepEqual(browser.failures, []);
	});
});
