// client.mjs - contrib/js/fanfare.js, as the server serves it, in real browsers.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { covers } from '../../../contrib/js/fanfare.js';
import { CORS, between, counter, follow, got, hang, hears, isLive, numbers, open, page, pages, state } from '../client-page.mjs';
import { BROWSERS, LIMIT, Server, atEnd, finish, launch, mint, site, sleep, until } from '../harness.mjs';

after(finish, LIMIT);

test('covers() agrees with the server about patterns', LIMIT, async () => {
	const server = await Server.make('covers', CORS);
	const patterns = ['a', 'a/b', '*', '**', 'a/*', 'a/**', '*/b', 'a/*/c', 'a/*/**', '*/**', 'a//b', 'a/'];
	const topics = ['a', 'b', 'a/b', 'a/b/c', 'a//b', 'a/', '/a', 'a/b/c/d', '/'];

	await server.publish(topics.map((topic) => ({ topic, data: topic })));
	for (const pattern of patterns) {
		const { events } = await server.history(`topic=${encodeURIComponent(pattern)}`);
		assert.deepEqual(topics.filter((topic) => covers(pattern, topic)), events.map((e) => e.topic), pattern);
	}
	await server.kill();
});

for (const name of BROWSERS) describe(name, { timeout: 900000 }, () => {
	let browser, server, tokens;

	before(async () => {
		browser = await launch(name);
		server = await Server.make(`client-${name}`, CORS);
		tokens = await Server.make(`tokens-${name}`, { ...CORS, isPublic: false,
			options: [...CORS.options, '--topics.authenticated=user/{sub}/**', '--topics.public=open'] });
	}, LIMIT);
	after(() => browser.close(), LIMIT);
	// What a failed test left open would fail those that count streams.
	afterEach(async () => {
		for (const p of (await browser.pages()).filter((p) => p.url().startsWith('http')))
			await p.close().catch(() => {});
	}, LIMIT);

	test('handlers get what their topics and names say, once each', LIMIT, async () => {
		const p = await open(browser, server, {});
		await p.evaluate(() => {
			const by = (n) => (e) => (window.got[n] ??= []).push([e.topic, e.event, e.data]);
			live.on('a/1', { goal: by('goal'), '*': by('rest') });
			live.on(['a/*', 'a/1', '**'], by('all'));
			live.on('a/1', () => { throw Error('of the page'); });
			live.on('a/**', by('behind it'));
		});
		await isLive(p);
		await server.publish('a/1', { n: 1 }, 'goal');
		await server.publish('a/1', 'text');
		await server.publish('b', null, 'toString');
		await until('all came', async () => (await got(p, 'all'))?.length === 3);
		assert.deepEqual(await got(p, 'goal'), [['a/1', 'goal', { n: 1 }]]);
		assert.deepEqual(await got(p, 'rest'), [['a/1', null, 'text']]);
		assert.deepEqual(await got(p, 'all'), [['a/1', 'goal', { n: 1 }], ['a/1', null, 'text'], ['b', 'toString', null]]);
		assert.equal((await got(p, 'behind it')).length, 2);
		assert.deepEqual(browser.failures.splice(0).filter((f) => !/of the page/.test(f)), []);
		await p.close();
	});

	test('a server that is killed again and again: nothing is lost, nothing comes twice', LIMIT, async () => {
		const p = await open(browser, server, {});
		await follow(p, 'n', 'kills');
		await isLive(p);
		const numbering = counter(server, 'kills');
		for (let i = 0; i < 3; i++) {
			await sleep(300);
			await server.kill(i === 1 ? 'SIGTERM' : 'SIGKILL');
			await until('it is told', async () => (await state(p)).status === 'reconnecting');
			await sleep(200);
			await server.start();
			await isLive(p);
		}
		await hears(p, 'n', await numbering.stop());
		const states = await p.evaluate(() => window.states);
		assert.ok(states.includes('reconnecting drain') && states.includes('reconnecting lost'), String(states));
		await p.close();
	});

	test('topics that are added and removed on the way cost the others nothing', LIMIT, async () => {
		const p = await open(browser, server, {});
		await follow(p, 'first', 'add/1');
		await isLive(p);
		const numbering = counter(server, 'add/1', 1, 5);
		for (let i = 2; i < 8; i++) {
			await follow(p, `t${i}`, `add/${i}`);
			await sleep(100);
			if (i % 2)
				await p.evaluate((n) => window.stops[n](), `t${i}`);
		}
		const want = await numbering.stop();
		await hears(p, 'first', want);
		await until('each is heard', async () => {
			await server.publish('add/6', 'late');
			return (await got(p, 't6')).length > 0;
		});
		assert.equal((await got(p, 't7')).length, 0);
		assert.equal(await server.streams(), 1);
		await p.close();
	});

	test('after and replay begin where they say, without a hole', LIMIT, async () => {
		for (let n = 1; n <= 5; n++)
			await server.publish('begin', n);
		const { cursor } = await server.history('topic=begin');
		const numbering = counter(server, 'begin', 6, 5);
		await sleep(100);
		const p = await open(browser, server, {});
		await follow(p, 'after', 'begin', { after: cursor });
		await sleep(50);
		await follow(p, 'replay', 'begin', { replay: 3 });
		await isLive(p);
		await follow(p, 'late', 'begin', { after: cursor });
		await sleep(200);
		const want = await numbering.stop();
		await hears(p, 'after', want);
		await hears(p, 'late', want);
		const replayed = await got(p, 'replay');
		assert.deepEqual(replayed, numbers(replayed[0], want.at(-1)));
		assert.ok(replayed[0] >= 3, String(replayed[0]));
		await p.close();
	});

	test('120 topics take three streams, and all are heard', LIMIT, async () => {
		const p = await open(browser, server, {});
		const before_ = await server.streams();
		await p.evaluate(() => {
			window.got.many = [];
			for (let i = 0; i < 120; i++)
				live.on(`many/${i}`, (e) => got.many.push(e.topic));
		});
		await isLive(p);
		assert.equal(await server.streams(), before_ + 3);
		await server.publish(numbers(0, 119).map((i) => ({ topic: `many/${i}`, data: i })));
		await until('each came', async () => new Set(await got(p, 'many')).size === 120);
		assert.equal((await got(p, 'many')).length, 120);
		const q = await open(browser, server, { shared: false });
		const long = numbers(1, 10).map((n) => `${n}/${'x'.repeat(900)}`);
		await follow(q, 'long', long);
		await isLive(q);
		assert.equal(await server.streams(), before_ + 6, 'ten kilobytes of topics take three streams');
		await server.publish(long.map((topic, i) => ({ topic, data: i })));
		await until('each came', async () => (await got(q, 'long')).length === 10);
		await q.close();
		await p.close();
	});

	test('when the log is wiped a gap is told, and replay begins anew', LIMIT, async () => {
		const s = await Server.make(`wipe-${name}`, CORS);
		const p = await open(browser, s, {});
		await s.publish(numbers(1, 200).map((n) => ({ topic: 'w', data: n })));
		await follow(p, 'r', 'w', { replay: 2 });
		await follow(p, 'plain', 'w');
		await hears(p, 'r', [199, 200]);
		await isLive(p);
		await s.kill();
		await s.wipe();
		await s.start();
		await s.publish('w', 'first');
		await until('told', async () => (await p.evaluate(() => window.gaps)).length === 2);
		await isLive(p);
		await s.publish('w', 'second');
		await hears(p, 'r', ['first', 'second']);
		assert.equal((await got(p, 'plain')).at(-1), 'second');
		assert.deepEqual((await p.evaluate(() => window.gaps)).sort(), ['plain reset', 'r reset']);
		await p.close();
		await s.kill();
	});

	test('a position in another log is told as a gap, also by a tab that joins others', LIMIT, async () => {
		const all = [await open(browser, server, {}), await open(browser, server, {})];
		await follow(all[0], 'n', 'joined');
		await isLive(all[0]);
		await follow(all[1], 'n', 'joined', { after: '0badcafe-99999999' });
		await isLive(all[1]);
		await until('it is told', async () => String(await all[1].evaluate(() => window.gaps)) === 'n reset');
		await server.publish('joined', 1);
		for (const p of all)
			await hears(p, 'n', [1]);
		assert.deepEqual(await all[0].evaluate(() => window.gaps), []);
		for (const p of all)
			await p.close();
		const alone = await open(browser, server, {});
		await follow(alone, 'n', 'joined', { after: '0badcafe-99999999', replay: 1 });
		await hears(alone, 'n', [1]);
		assert.deepEqual(await alone.evaluate(() => window.gaps), ['n reset']);
		await alone.close();
	});

	test('a tab that leads and hangs is relieved by another, and comes back as one of them', LIMIT, async () => {
		const s = await Server.make(`hangs-${name}`, CORS);
		const all = [];
		for (let i = 0; i < 3; i++) {
			all.push(await open(browser, s, {}));
			await follow(all[i], 'n', 'hangs');
			await isLive(all[i]);
		}
		const numbering = counter(s, 'hangs');
		await hang(all[0], 8000);
		await sleep(200);
		await all[1].evaluate(() => window.dispatchEvent(new Event('online')));
		const want = await (async () => { await sleep(5000); return numbering.stop(); })();
		for (const p of all.slice(1))
			await hears(p, 'n', want);
		await hears(all[0], 'n', want);
		await until('one stream', async () => await s.streams() === 1);
		await s.publish('hangs', 'after');
		for (const p of all)
			await hears(p, 'n', [...want, 'after']);
		for (const p of all)
			await p.close();
		await s.kill();
	});

	test('tabs that find their leader hanging at the same moment agree on one of them', LIMIT, async () => {
		const s = await Server.make(`relief-${name}`, CORS);
		const all = [];
		for (let i = 0; i < 4; i++) {
			all.push(await open(browser, s, {}));
			await follow(all[i], 'n', 'relief');
			await isLive(all[i]);
		}
		const numbering = counter(s, 'relief', 1, 50);
		await hang(all[0], 9000);
		await sleep(200);
		await Promise.all(all.slice(1).map((p) => p.evaluate(() => window.dispatchEvent(new Event('online')))));
		await sleep(7000);
		const want = await numbering.stop();
		for (const p of all)
			await hears(p, 'n', want);
		await until('one stream', async () => await s.streams() === 1);
		for (const p of all)
			await p.close();
		await s.kill();
	});

	test('a tab whose token has ended does not keep others from their own', LIMIT, async () => {
		const young = mint({ sub: '7' });
		const begin = (p, token) => p.evaluate(async (server, text) => {
			window.live = new (await import(`${server}/fanfare.js`)).Fanfare(server, { token: text });
			window.live.watch((s) => window.states.push(s.status));
		}, tokens.origin, token);
		const a = await open(browser, tokens), b = await open(browser, tokens);
		await begin(a, mint({ sub: '7', exp: Math.floor(Date.now() / 1000) + 3 }));
		await follow(a, 'n', 'user/7/n');
		await until('it has ended', async () => (await state(a)).status === 'closed');
		assert.match((await state(a)).reason, /expired|unauthorized/);
		await begin(b, young);
		await follow(b, 'n', 'user/7/n');
		await isLive(b);
		await tokens.publish('user/7/n', 'in');
		await hears(b, 'n', ['in']);
		await a.close();
		await b.close();
	});

	test('a watcher that closes leaves no stream behind', LIMIT, async () => {
		const s = await Server.make(`watcher-${name}`, CORS);
		const p = await open(browser, s, {});
		await follow(p, 'n', 'watched');
		await isLive(p);
		await p.evaluate(() => window.live.watch((state) => state.status === 'reconnecting' && window.live.close()));
		await s.restart();
		await until('it is closed', async () => (await state(p)).status === 'closed');
		await sleep(3000);
		assert.equal(await s.streams(), 0);
		await p.close();
		await s.kill();
	});

	test('a topic that only a newer token allows is not refused, whatever comes between', LIMIT, async () => {
		let given = 0;
		const w = await site({ '/': page, '/token': (_, response) => {
			response.end(mint({ sub: '42', fanfare: { subscribe: ++given > 1 ? ['new', 'b', 'c'] : ['b', 'c'] } }));
		} });
		const p = await open(browser, tokens, { token: '/token' }, w);
		await follow(p, 'new', 'new');
		await sleep(30);
		await follow(p, 'b', 'b');
		await sleep(30);
		await follow(p, 'c', 'c');
		await isLive(p);
		await until('all are there', async () => {
			await tokens.publish(['new', 'b', 'c'].map((topic) => ({ topic, data: 1 })));
			await sleep(100);
			return (await Promise.all(['new', 'b', 'c'].map((n) => got(p, n)))).every((g) => g.length > 0);
		});
		assert.deepEqual(await p.evaluate(() => window.refused), []);
		await p.close();
	});

	test('tokens that are never twice the same, and refused, are not asked for in a fast loop', LIMIT, async () => {
		let given = 0;
		const w = await site({ '/': page, '/token': (_, response) => {
			response.end(mint({ sub: '42', mark: ++given }, 'another secret of 32 bytes or more'));
		} });
		const p = await open(browser, tokens, { token: '/token' }, w);
		await follow(p, 'n', 'user/42/n');
		await sleep(10000);
		assert.ok(given > 1 && given <= 14, `${given} tokens in 10 s`);
		await p.close();
	});

	test('who comes late with an old position is told alone what is missing', LIMIT, async () => {
		const s = await Server.make(`late-${name}`, { options: [...CORS.options, '--stream.max_replay=40'] });
		await s.publish('late', 0);
		const { cursor } = await s.history('topic=late');
		for (let n = 1; n <= 50; n++)
			await s.publish('late', n);
		const all = [await open(browser, s, {}), await open(browser, s, {})];
		await follow(all[0], 'first', 'late', { after: (await s.history('topic=late')).cursor });
		await isLive(all[0]);
		const numbering = counter(s, 'late', 51, 60);
		for (const p of all) {
			await follow(p, 'far', 'late', { after: cursor });
			await follow(p, 'near', 'late', { after: (await s.history('topic=late')).cursor });
		}
		await isLive(all[1]);
		await sleep(500);
		const want = await numbering.stop();
		await hears(all[0], 'first', want);
		for (const p of all) {
			await until('it has the last', async () => (await got(p, 'near')).at(-1) === want.at(-1) && (await got(p, 'far')).at(-1) === want.at(-1));
			for (const n of ['near', 'far']) {
				const g = await got(p, n);
				assert.deepEqual(g, numbers(g[0], want.at(-1)));
			}
			assert.deepEqual(await p.evaluate(() => window.gaps), ['far too_far']);
			await p.close();
		}
		await s.kill();
	});

	test('a handler that stops hears no more, and is told where to go on', LIMIT, async () => {
		const p = await open(browser, server, {});
		for (let n = 1; n <= 4; n++)
			await server.publish('stops', n);
		await p.evaluate(() => {
			window.got.one = [];
			const stop = live.on('stops', (e) => { window.got.one.push(e.data); stop(); }, { replay: 4 });
		});
		await follow(p, 'two', 'stops', { replay: 4 });
		await hears(p, 'two', [1, 2, 3, 4]);
		assert.deepEqual(await got(p, 'one'), [1]);
		const after = await until('its position', () => p.evaluate(() => window.stops.two()));
		await server.publish('stops', 5);
		await follow(p, 'three', 'stops', { after });
		await hears(p, 'three', [5]);
		await p.close();
	});

	test('bad input is refused by name where it is given, and the others go on', LIMIT, async () => {
		const p = await open(browser, server, {});
		await follow(p, 'good', 'good');
		const said = await p.evaluate(() => [['', () => {}], [[], () => {}], ['a/**/b', () => {}], ['x'.repeat(1025), () => {}], ['a\n', () => {}], [7, () => {}],
			['a'], ['a', 'f'], ['a', () => {}, { after: 'garbage' }], ['a', () => {}, { after: 7 }], ['a', () => {}, { replay: -1 }]]
			.map((a) => { try { live.on(...a); return 'taken'; } catch (e) { return `${e.name} ${e.message}`; } }));
		for (const one of said)
			assert.match(one, /^TypeError fanfare: (no topic|on\(\) wants|after|replay)/);
		await isLive(p);
		await server.publish('good', 1);
		await hears(p, 'good', [1]);
		await p.close();
	});

	test('where cookies say who it is, tabs share only when the page says who', LIMIT, async () => {
		const s = await Server.make(`cookies-${name}`, { options: [`--server.cors_origins=${pages.origin}`, '--stream.heartbeat=1s'] });
		const all = [];
		for (const options of [{ user: 'a' }, { user: 'a' }, { user: 'b' }, {}, {}]) {
			all.push(await open(browser, s, { credentials: true, ...options }));
			await follow(all.at(-1), 'n', 'cookies');
			await isLive(all.at(-1));
		}
		assert.equal(await s.streams(), 4);
		for (const p of all)
			await p.close();
		await s.kill();
	});

	for (const tabs of [7, 20]) test(`${tabs} tabs are live over one connection, and go on when the first is closed`, LIMIT, async () => {
		const s = await Server.make(`tabs-${tabs}-${name}`, CORS);
		const all = [];
		for (let i = 0; i < tabs; i++) {
			all.push(await open(browser, s, {}));
			await follow(all[i], 'n', i % 2 ? ['tabs', `own/${i}`] : 'tabs');
		}
		await Promise.all(all.map(isLive));
		await until('one stream', async () => await s.streams() === 1);
		const numbering = counter(s, 'tabs', 1, 10);
		await sleep(300);
		await all.shift().close();
		await sleep(300);
		await all.pop().close();
		await s.restart();
		await sleep(300);
		const want = await numbering.stop();
		for (const p of all)
			await hears(p, 'n', want);
		assert.equal(await s.streams(), 1);
		await s.publish('own/3', 'mine');
		await until('its own topic too', async () => (await got(all[2], 'n')).at(-1) === 'mine');
		assert.equal((await got(all[1], 'n')).at(-1), want.at(-1));
		for (const p of all)
			await p.close();
		await until('no stream is left', async () => await s.streams() === 0);
		await s.kill();
	});

	test('a token is renewed before it ends, and nothing is lost', LIMIT, async () => {
		let given = 0;
		const w = await site({ '/': page, '/token': (_, response) => {
			given++;
			response.end(mint({ sub: '42', exp: Math.floor(Date.now() / 1000) + 6 }));
		} });
		const p = await open(browser, tokens, { token: '/token' }, w);
		await follow(p, 'n', 'user/42/**');
		await isLive(p);
		const numbering = counter(tokens, 'user/42/n', 1, 10);
		await sleep(13000);
		await hears(p, 'n', await numbering.stop());
		assert.ok(given >= 3 && given <= 8, `${given} tokens in 13 s`);
		// Half a second is what a busy machine may need for once.
		const ended = (await p.evaluate(() => window.states)).filter((s) => /unauthorized|expired/.test(s)).length;
		assert.ok(ended < given - 1, `${ended} ends, ${given} tokens`);
		await p.close();
	});

	test('a token function that fails for a while delays, and loses nothing', LIMIT, async () => {
		let fails = false;
		const w = await site({ '/': page, '/token': (_, response) => {
			response.writeHead(fails ? 500 : 200).end(mint({ sub: '42', exp: Math.floor(Date.now() / 1000) + 2 }));
		} });
		const p = await open(browser, tokens, { token: '/token' }, w);
		await follow(p, 'n', 'user/42/**');
		await isLive(p);
		const numbering = counter(tokens, 'user/42/n', 1, 10);
		fails = true;
		await until('it is told', async () => (await state(p)).reason === 'token');
		assert.match((await state(p)).detail, /the site says 500/);
		await sleep(1000);
		fails = false;
		await isLive(p);
		await hears(p, 'n', await numbering.stop());
		await p.close();
	});

	test('a refused token is replaced; one that cannot be replaced ends it, and says so', LIMIT, async () => {
		let bad = 2;
		const w = await site({ '/': page, '/token': (_, response) => {
			response.end(mint({ sub: '42' }, bad-- > 0 ? 'another secret of 32 bytes or more' : undefined));
		} });
		const p = await open(browser, tokens, { token: '/token' }, w);
		await follow(p, 'n', 'user/42/**');
		await isLive(p);
		await tokens.publish('user/42/n', 'in');
		await hears(p, 'n', ['in']);
		const states = await p.evaluate(() => window.states);
		assert.ok(states.includes('connecting unauthorized'), String(states));

		const q = await open(browser, tokens, {});
		await follow(q, 'n', 'user/42/**');
		await until('it is closed', async () => (await state(q)).status === 'closed');
		assert.equal((await state(q)).reason, 'unauthorized');
		await p.close();
		await q.close();
	});

	test('a forbidden topic is refused alone', LIMIT, async () => {
		const w = await site({ '/': page, '/token': (_, response) => { response.end(mint({ sub: '42' })); } });
		const p = await open(browser, tokens, { token: '/token' }, w);
		await follow(p, 'mine', 'user/42/**');
		await follow(p, 'theirs', 'user/43/**');
		await follow(p, 'replayed', 'user/44/x', { replay: 1 });
		await isLive(p);
		await tokens.publish('user/42/n', 'in');
		await hears(p, 'mine', ['in']);
		await until('both are told', async () => (await p.evaluate(() => window.refused)).length === 2);
		for (const r of await p.evaluate(() => window.refused))
			assert.match(r, /^(theirs|replayed): .*user\/4[34]/);
		await p.close();
	});

	test('a topic that both the stream and a late /history refuse is told once', LIMIT, async () => {
		const w = await site({ '/': page, '/token': (_, response) => { response.end(mint({ sub: '42' })); } });
		const proxy = await between(tokens, async (request, _, forward) => {
			if (request.url.startsWith('/history'))
				await sleep(2000);
			forward();
		});
		const p = await open(browser, tokens, null, w);
		await p.evaluate((at) => window.begin({ token: '/token' }, at), proxy.origin);
		await follow(p, 'mine', 'user/42/**');
		await follow(p, 'replayed', 'user/44/x', { replay: 1 });
		await until('/history refuses twice', () => proxy.counts['/history 403'] === 2);
		await until('it is told', async () => (await p.evaluate(() => window.refused)).length > 0);
		await sleep(500);
		assert.equal((await p.evaluate(() => window.refused)).length, 1);
		await p.close();
	});

	test('tabs share a stream when their tokens say the same, and not with another user', LIMIT, async () => {
		const w = await site({ '/': page, '/token': (request, response) => {
			const sub = /sub=(\d+)/.exec(request.url)[1];
			response.end(mint({ sub, jti: String(Math.random()) }));
		} });
		const all = [];
		for (const sub of [1, 2, 1, 2, 1]) {
			const p = await open(browser, tokens, { token: `/token?sub=${sub}` }, w);
			await follow(p, 'n', `user/${sub}/n`);
			await isLive(p);
			all.push(p);
		}
		await until('two streams', async () => await tokens.streams() === 2);
		await tokens.publish([1, 2].map((n) => ({ topic: `user/${n}/n`, data: n })));
		for (const [i, p] of all.entries())
			await hears(p, 'n', [[1, 2, 1, 2, 1][i]]);
		for (const p of all)
			await p.close();
	});

	test('an answer that is no stream is followed by another attempt', LIMIT, async () => {
		let status = 502;
		const proxy = await between(server, (request, response, forward) => (status === 0 || !request.url.startsWith('/events') ? forward() :
			response.writeHead(status, { 'access-control-allow-origin': '*' }).end()));
		const p = await open(browser, server);
		await p.evaluate((at) => window.begin({ poll: 0 }, at), proxy.origin);
		await follow(p, 'n', 'gateway');
		for (status of [502, 401, 204, 503])
			await until('it is told', async () => (await state(p)).reason === 'refused');
		status = 0;
		await isLive(p);
		const numbering = counter(server, 'gateway');
		status = 502;
		proxy.drop();
		await until('it is told', async () => (await state(p)).status === 'reconnecting' && (await state(p)).reason === 'refused');
		await sleep(500);
		status = 0;
		await isLive(p);
		await hears(p, 'n', await numbering.stop());
		await p.close();
	});

	test('where no stream comes through it polls, an idle poll is a 304, and it streams again', LIMIT, async () => {
		let held = true;
		const proxy = await between(server, (request, response, forward) => (held && request.url.startsWith('/events') ?
			void response.writeHead(503).end() : forward()));
		const p = await open(browser, server);
		await p.evaluate((at) => window.begin({ poll: 300 }, at), proxy.origin);
		await follow(p, 'n', 'polled');
		await until('it polls', async () => (await state(p)).status === 'polling');
		const numbering = counter(server, 'polled', 1, 50);
		await sleep(1500);
		held = false;
		await isLive(p);
		await sleep(200);
		held = true;
		proxy.drop();
		await until('it polls again', async () => (await state(p)).status === 'polling');
		const want = await numbering.stop();
		await hears(p, 'n', want);
		const before_ = proxy.counts['/history 304'] ?? 0;
		await until('idle polls are 304', () => (proxy.counts['/history 304'] ?? 0) > before_ + 2, 10000);
		assert.deepEqual(await got(p, 'n'), want);
		await p.close();
	});

	for (const [when, options, wake] of [['after a while', { silence: 3000 }], ['when the page is shown', { silence: 60000 }, 'visibilitychange'],
		['when the network is back', { silence: 60000 }, 'online']])
	test(`a connection that has gone silent is given up ${when}, and nothing is lost`, LIMIT, async () => {
		// Takes bytes and hands nothing on, as a dead network does.
		const sockets = new Set();
		let dead = false;
		const wire = net.createServer((a) => {
			const b = net.connect(server.port, '127.0.0.1');
			const mine = { dead: false };
			sockets.add(mine);
			a.on('data', (d) => mine.dead || b.write(d)).on('error', () => {}).on('close', () => b.destroy());
			b.on('data', (d) => mine.dead || a.write(d)).on('error', () => {}).on('close', () => mine.dead || a.destroy());
		}).listen(0, '127.0.0.1');
		await once(wire, 'listening');
		atEnd(() => wire.close());
		const p = await open(browser, server);
		await p.evaluate((o, at) => window.begin(o, at), options, `http://127.0.0.1:${wire.address().port}`);
		await follow(p, 'n', 'silent');
		await isLive(p);
		const numbering = counter(server, 'silent', 1, 50);
		await sleep(300);
		for (const s of sockets)
			s.dead = true;
		if (wake) {
			await sleep(4000);
			await p.evaluate((type) => document.dispatchEvent(new Event(type, { bubbles: true })), wake);
		} else
			await until('it is told', async () => (await state(p)).reason === 'silent');
		await isLive(p);
		await hears(p, 'n', await numbering.stop());
		await p.close();
	});

	test('close() ends the stream, and nothing is heard after it', LIMIT, async () => {
		const p = await open(browser, tokens, {});
		await follow(p, 'n', 'open');
		await isLive(p);
		assert.equal(await tokens.streams(), 1);
		await p.evaluate(() => { window.live.close(); window.live.on('open', () => window.got.n.push('no')); });
		await until('the stream is gone', async () => await tokens.streams() === 0, 2000);
		await tokens.publish('open', 'late');
		await sleep(200);
		assert.deepEqual(await got(p, 'n'), []);
		const { status, reason } = await state(p);
		assert.deepEqual([status, reason], ['closed', 'left']);
		await p.close();
	});

	test('logging out in one tab ends the stream of all', LIMIT, async () => {
		const w = await site({ '/': page, '/token': (_, response) => { response.end(mint({ sub: 'out' })); } });
		const all = [];
		for (let i = 0; i < 3; i++) {
			all.push(await open(browser, tokens, { token: '/token' }, w));
			await follow(all[i], 'n', 'user/out/n');
			await isLive(all[i]);
		}
		await all[2].evaluate(() => window.live.close({ everywhere: true }));
		for (const p of all)
			await until('it is closed', async () => (await state(p)).reason === 'left', 3000);
		await until('the stream is gone', async () => await tokens.streams() === 0, 2000);
		for (const p of all)
			await p.close();
	});

	test('a page that is left and come back to hears what it missed', LIMIT, async () => {
		const p = await open(browser, server, {});
		const before_ = await server.streams();
		await follow(p, 'n', 'back');
		await isLive(p);
		await until('a stream more', async () => await server.streams() >= before_);
		const numbering = counter(server, 'back');
		await sleep(200);
		await p.goto(`${pages.origin}/nothing`);
		await until('its stream is gone', async () => await server.streams() < Math.max(1, before_), 3000);
		await sleep(200);
		await p.goBack();
		const kept = await p.evaluate(() => window.got?.n !== undefined);
		const want = await numbering.stop();
		if (kept)
			await hears(p, 'n', want);
		console.log(`# ${name}: the page was ${kept ? '' : 'not '}kept while it was left`);
		await p.close();
	});

	test('nothing went wrong in any page', LIMIT, () => {
		assert.deepEqual(browser.failures, []);
	});
});
