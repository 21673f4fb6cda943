// company.mjs - which tabs share a stream, and whom a sign-out reaches, in real browsers.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { CORS, follow, got, hears, isLive, numbers, open, page, state } from './client-page.mjs';
import { BROWSERS, LIMIT, Server, finish, launch, mint, site, until } from './harness.mjs';

after(finish, LIMIT);

for (const name of BROWSERS) describe(name, { timeout: 300000 }, () => {
	let browser, server;

	before(async () => {
		browser = await launch(name);
		server = await Server.make(`company-${name}`, { ...CORS, isPublic: false,
			options: [...CORS.options, '--topics.authenticated=user/{sub}/**', '--topics.public=open'] });
	}, LIMIT);
	after(() => browser.close(), LIMIT);
	afterEach(async () => {
		for (const p of (await browser.pages()).filter((p) => p.url().startsWith('http')))
			await p.close().catch(() => {});
		await until('no stream is left', async () => await server.streams() === 0);
	}, LIMIT);

	const enter = async (text, topics, options) => {
		const p = await open(browser, server, { text, ...options });
		await follow(p, 'n', topics);
		await isLive(p);
		return p;
	};
	const streamsAre = (n) => until(`${n} streams`, async () => await server.streams() === n);
	const leave = (p) => p.evaluate(() => window.live.close({ everywhere: true }));
	const isOut = (p) => until('it is closed', async () => (await state(p)).reason === 'left', 3000);

	test('seven tabs of one user share one stream, whatever their tokens grant and count', LIMIT, async () => {
		const all = [];
		for (const i of numbers(0, 6))
			all.push(await enter(mint({ sub: '9', jti: `${i}`, fva: [7 + i, -1], fanfare: { subscribe: numbers(0, i).map((n) => `order/${n}`) } }), 'user/9/n'));
		await streamsAre(1);
		await server.publish('user/9/n', 'in');
		for (const p of all)
			await hears(p, 'n', ['in']);
	});

	test('who signs out in one tab is signed out in all, and nobody else is', LIMIT, async () => {
		const grant = (sub, ...subscribe) => mint({ sub, fanfare: { subscribe } });
		const mine = [await enter(grant('9', 'a'), 'a'), await enter(grant('9', 'a', 'b'), 'a'),
			await enter(grant('9', 'b'), 'b'), await enter(grant('9', 'a'), 'a', { shared: false })];
		const others = [await enter(grant('10', 'a'), 'a'), await enter(mint({ sub: '9', iss: 'elsewhere', fanfare: { subscribe: ['a'] } }), 'a')];
		await leave(mine[1]);
		for (const p of mine)
			await isOut(p);
		await streamsAre(2);
		await server.publish(['a', 'b'].map((topic) => ({ topic, data: 'late' })));
		for (const p of others)
			await hears(p, 'n', ['late']);
		for (const p of mine)
			assert.deepEqual(await got(p, 'n'), []);
	});

	test('where no token says who it is, the page does, or tabs share by what their tokens say', LIMIT, async () => {
		const grant = (subscribe, more) => mint({ fanfare: { subscribe }, ...more });
		const ann = [await enter(grant(['a']), 'a', { user: 'ann' }), await enter(grant(['a', 'b']), 'a', { user: 'ann' })];
		await streamsAre(1);
		const rest = [await enter(grant(['a']), 'a'), await enter(grant(['a'], { iat: 1700000000 }), 'a'), await enter(grant(['a', 'b']), 'a')];
		await streamsAre(3);
		await leave(ann[0]);
		await isOut(ann[1]);
		await streamsAre(2);
		for (const p of rest)
			await isLive(p);
	});

	test('a topic that only one tab has a token for is heard by that tab, and costs the others nothing', LIMIT, async () => {
		const a = await enter(mint({ sub: '9', fanfare: { subscribe: ['order/1'] } }), ['order/1', 'user/9/n']);
		const b = await enter(mint({ sub: '9', fanfare: { subscribe: ['order/2'] } }), 'user/9/n');
		await streamsAre(1);
		await follow(b, 'own', 'order/2');
		await streamsAre(2);
		await isLive(b);
		await server.publish(['order/1', 'order/2', 'user/9/n'].map((topic) => ({ topic, data: topic })));
		await hears(a, 'n', ['order/1', 'user/9/n']);
		await hears(b, 'n', ['user/9/n']);
		await hears(b, 'own', ['order/2']);
		await b.evaluate(() => window.stops.own());
		await streamsAre(1);
		await isLive(b);
		await server.publish('user/9/n', 'again');
		await hears(b, 'n', ['user/9/n', 'again']);
		await hears(a, 'n', ['order/1', 'user/9/n', 'again']);
		for (const p of [a, b])
			assert.deepEqual(await p.evaluate(() => [window.refused, window.gaps]), [[], []]);
	});

	test('a topic that no tab has a token for is refused, and they go on with one stream', LIMIT, async () => {
		const w = await site({ '/': page, '/token': (_, response) => { response.end(mint({ sub: '9' })); } });
		const all = [];
		for (let i = 0; i < 3; i++) {
			all.push(await open(browser, server, { token: '/token' }, w));
			await follow(all[i], 'n', ['user/9/n', `order/${i}`]);
			await isLive(all[i]);
		}
		for (const [i, p] of all.entries())
			await until('it is told', async () => (await p.evaluate(() => window.refused)).length === 1);
		await streamsAre(1);
		await server.publish('user/9/n', 'in');
		for (const p of all)
			await hears(p, 'n', ['in']);
		for (const [i, p] of all.entries())
			assert.match(String(await p.evaluate(() => window.refused)), new RegExp(`^n: .*order/${i}$`));
	});

	test('tabs with a fanfare.js that says other things share with none of these', LIMIT, async () => {
		const other = await site({ '/fanfare.js': async (_, response) => {
			const text = await fetch(`${server.origin}/fanfare.js`).then((r) => r.text());
			response.writeHead(200, { 'content-type': 'text/javascript', 'access-control-allow-origin': '*' })
				.end(text.replace(/`fanfare \d+ /, '`fanfare 0 '));
		} });
		await enter(undefined, 'open');
		await enter(undefined, 'open');
		await streamsAre(1);
		const p = await open(browser, other);
		await p.evaluate((at) => window.begin({}, at), server.origin);
		await follow(p, 'n', 'open');
		await isLive(p);
		await streamsAre(2);
	});

	test('nothing went wrong in any page', LIMIT, () => {
		assert.deepEqual(browser.failures, []);
	});
});
