// publisher.mjs - contrib/js/server.js against the real server: publishing from a server
// or an edge function, tokens for pages.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { FanfareError, Publisher, history, mintToken, publish } from '../../contrib/js/server.js';
import { LIMIT, Server, atEnd, finish, freePorts, secret } from './harness.mjs';

let s, house;

before(async () => {
	s = await Server.make('publisher', { isPublic: false, options: ['--topics.authenticated=user/{sub}/**'] });
	house = new Publisher({ url: s.url, key: s.key });
}, LIMIT);
after(finish, LIMIT);

// A proxy in front of the server that does what `rule(n)` says with its n-th request.
async function between(rule) {
	let n = 0;
	const proxy = http.createServer((request, response) => {
		const forward = (answer) => {
			const onward = http.request({ port: s.port, method: request.method, path: request.url, headers: request.headers }, answer);
			request.pipe(onward);
		};

		rule(n++, forward, response, request);
	}).listen(0, '127.0.0.1');

	await once(proxy, 'listening');
	atEnd(() => { proxy.closeAllConnections(); proxy.close(); });
	return { url: `http://127.0.0.1:${proxy.address().port}`, count: () => n };
}
const pass = (response) => (r) => { response.writeHead(r.statusCode, r.headers); r.pipe(response); };

test('what is published is in the history, with its event and type', LIMIT, async () => {
	const first = await house.publish('a/1', { home: 1 }, { event: 'goal' });
	const batch = await house.publish([{ topic: 'a/1', data: 'text' }, { topic: 'a/2', data: null, event: 'off' }]);
	const { events, cursor, gap } = await house.history(['a/1', 'a/2']);

	assert.equal(first.subscribers, 0);
	assert.equal(batch.ids.length, 2);
	assert.equal(gap, null);
	assert.equal(cursor, batch.ids[1]);
	assert.deepEqual(events.map((e) => [e.id, e.topic, e.event, e.data]), [[first.id, 'a/1', 'goal', { home: 1 }],
		[batch.ids[0], 'a/1', null, 'text'], [batch.ids[1], 'a/2', 'off', null]]);
	assert.equal((await house.history('a/*', { after: batch.ids[0] })).events.length, 1);
	assert.equal((await house.history('a/*', { replay: 1 })).events.length, 2);
});

test('an answer that is lost on its way costs a repeat, and the event is stored once', LIMIT, async () => {
	const p = await between((n, forward, response, request) => {
		forward(n === 0 ? () => request.socket.destroy() : pass(response));
	});
	const r = await new Publisher({ url: p.url, key: s.key }).publish('lost', 1);

	assert.equal(r.duplicate, true);
	assert.equal(p.count(), 2);
	assert.equal((await house.history('lost')).events.length, 1);
});

test('a server that hangs once is asked again within the time', LIMIT, async () => {
	const p = await between((n, forward, response) => n > 0 && forward(pass(response)));
	const began = Date.now();

	await new Publisher({ url: p.url, key: s.key, timeout: 1000 }).publish('hangs', 1);
	assert.ok(Date.now() - began < 1000);
	assert.equal((await house.history('hangs')).events.length, 1);
});

test('a busy proxy is asked again, a refusal is not', LIMIT, async () => {
	let status = 502;
	const p = await between((n, forward, response) => {
		if (n < 2 || status === 403)
			response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>Bad Gateway</h1>');
		else
			forward(pass(response));
	});
	const impatient = new Publisher({ url: p.url, key: s.key, timeout: 2000 });

	await impatient.publish('busy', 1);
	assert.equal(p.count(), 3);
	status = 403;
	await assert.rejects(impatient.publish('busy', 2), { name: 'FanfareError', status: 403, code: 'not_fanfare', message: /something else answered at .*Bad Gateway/ });
	assert.equal(p.count(), 4);
});

test('nobody is asked again before Retry-After is over', LIMIT, async () => {
	const at = [];
	const p = await between((n, forward, response) => {
		at.push(performance.now());
		if (n < 3)
			response.writeHead(429, { 'retry-after': '1', 'content-type': 'application/problem+json' }).end('{"code":"rate_limited","detail":"slower"}');
		else
			forward(pass(response));
	});

	await new Publisher({ url: p.url, key: s.key, timeout: 9000 }).publish('later', 1);
	assert.equal(at.length, 4);
	for (let i = 1; i < 4; i++)
		assert.ok(at[i] - at[i - 1] >= 1000 && at[i] - at[i - 1] < 2000, `after ${at[i] - at[i - 1]} ms`);
});

test('a Retry-After that is past the time is an error at once', LIMIT, async () => {
	const p = await between((n, forward, response) => {
		response.writeHead(429, { 'retry-after': '60', 'content-type': 'application/problem+json' }).end('{"code":"rate_limited","detail":"slower","ref":"1f"}');
	});
	const began = Date.now();

	await assert.rejects(new Publisher({ url: p.url, key: s.key }).publish('later', 1), { status: 429, code: 'rate_limited', ref: '1f' });
	assert.equal(p.count(), 1);
	assert.ok(Date.now() - began < 2000);
});

test('an answer that is not what was asked for is an error at once, whatever its status', LIMIT, async () => {
	for (const [type, body] of [['text/html', '<title>Our app</title>'], ['application/json', '{"hello":1}'], ['application/json', 'null'], ['text/plain', '']]) {
		const p = await between((n, forward, response) => response.writeHead(200, { 'content-type': type }).end(body));
		const other = new Publisher({ url: p.url, key: s.key });
		const calls = [() => other.publish('a', 1), () => other.publish([{ topic: 'a', data: 1 }]),
			() => other.history('a'), () => other.revoke({ sub: '1' }), () => other.streams()];

		for (const call of calls)
			await assert.rejects(call, (e) => e.code === 'not_fanfare' && e.status === 200 && e.message.includes(`something else answered at ${p.url}/`) && e.message.endsWith(body), body);
		assert.equal(p.count(), calls.length);
	}
});

test('a redirect is not followed: the error says where it leads', LIMIT, async () => {
	for (const status of [301, 302, 307, 308]) {
		const p = await between((n, forward, response, { url }) => response.writeHead(status, { location: `https://live.example.org${url}` }).end());
		const other = new Publisher({ url: p.url, key: s.key });

		await assert.rejects(other.publish('a', 1), { status, code: 'not_fanfare', message: /leads to https:\/\/live\.example\.org\/publish,.*FANFARE_URL/ });
		await assert.rejects(other.history('a'), { status, message: /leads to https:\/\/live\.example\.org\/history/ });
		assert.equal(p.count(), 2);
	}
});

test('the same idempotency key stores once, whoever repeats it', LIMIT, async () => {
	const one = await house.publish('once', { n: 1 }, { idempotencyKey: 'order-7-paid' });
	const two = await house.publish('once', { n: 1 }, { idempotencyKey: 'order-7-paid' });

	assert.equal(two.id, one.id);
	assert.equal(two.duplicate, true);
	await assert.rejects(house.publish('once', { n: 2 }, { idempotencyKey: 'order-7-paid' }), { status: 409 });
	assert.equal((await house.history('once')).events.length, 1);
});

test('errors say what to mend', LIMIT, async () => {
	const [port] = await freePorts(1);
	const nobody = new Publisher({ url: `http://127.0.0.1:${port}`, key: s.key, timeout: 500 });

	await assert.rejects(nobody.publish('a', 1), { name: 'FanfareError', status: 0, code: 'unreachable', message: /no answer from http.* within 500 ms: .*ECONNREFUSED/ });
	await assert.rejects(new Publisher({ url: s.url, key: 'ffk_wrong' }).publish('a', 1), (e) => e instanceof FanfareError && e.status === 401 && e.code === 'token_invalid' && e.ref !== undefined);
	await assert.rejects(house.publish('a/*', 1), { status: 400, message: /pattern/ });
	await assert.rejects(house.publish('a'), /without data/);
	await assert.rejects(new Publisher({ url: s.url }).publish('a', 1), /FANFARE_API_KEY/);
	await assert.rejects(publish('a', 1), /FANFARE_URL/);
	const stop = AbortSignal.timeout(100);
	await assert.rejects(nobody.publish('a', 1, { signal: stop }), { name: 'TimeoutError' });
});

test('a minted token opens what it grants and nothing else', LIMIT, async () => {
	const token = await mintToken({ sub: '42', subscribe: ['order/7'], role: 'ü' }, { secret });
	const ask = (topic) => fetch(`${s.url}history?topic=${topic}`, { headers: { authorization: `Bearer ${token}` } }).then((r) => r.status);

	assert.equal(await ask('order/7'), 200);
	assert.equal(await ask('user/42/**'), 200);
	assert.equal(await ask('order/8'), 403);
	assert.equal(await ask('user/43/**'), 403);
	await assert.rejects(new Publisher({ url: s.url, key: token }).publish('order/7', 1), { status: 403 });
	const publisher = await mintToken({ publish: ['order/7'], expiresIn: 60 }, { secret });
	await new Publisher({ url: s.url, key: publisher }).publish('order/7', 1);
	const slow = await mintToken({ publish: ['order/7'], rate: 0.5 }, { secret });
	assert.equal(JSON.parse(Buffer.from(slow.split('.')[1], 'base64url')).fanfare.rate, 0.5);
	await assert.rejects(mintToken({ sub: '42' }), /FANFARE_AUTH_KEY/);
	await assert.rejects(mintToken({ sub: '42' }, { secret: 'short' }), /32 bytes/);
	const expired = await mintToken({ sub: '42', expiresIn: -60 }, { secret });
	assert.equal(await fetch(`${s.url}history?topic=user/42/a`, { headers: { authorization: `Bearer ${expired}` } }).then(async (r) => (await r.json()).code), 'token_expired');
});

test('a revoked user loses the streams, and has a new token that works', LIMIT, async () => {
	const open = (token) => fetch(`${s.url}events?topic=user/77/**&token=${token}`);
	const old = await mintToken({ sub: '77', jti: 'one' }, { secret });
	const stream = await open(old);

	assert.equal(stream.status, 200);
	const { count, streams: rows, truncated } = await house.streams({ sub: '77', topic: 'user/77/**' });
	assert.deepEqual([count, truncated, rows[0].jti, rows[0].issuer], [1, false, 'one', 'auth']);
	assert.deepEqual(await house.revoke({ sub: '77' }), { ended: 1 });
	assert.match(await stream.text(), /event: fanfare\.close\ndata: .*"revoked"/);
	assert.equal((await open(old)).status, 401);
	const fresh = await open(await mintToken({ sub: '77' }, { secret }));
	assert.equal(fresh.status, 200);
	await fresh.body.cancel();
	assert.deepEqual(await house.revoke({ jti: 'two', issuer: 'auth' }), { ended: 0 });
	await assert.rejects(house.revoke({ sub: '77', issuer: 'nobody' }), { status: 400, message: /nobody/ });
	await assert.rejects(new Publisher({ url: s.url, key: await mintToken({ sub: '1', publish: ['**'] }, { secret }) })
		.streams(), { status: 403, code: 'key_required' });
	await assert.rejects(house.streams('77'), TypeError);
});

test('the environment is enough', LIMIT, async () => {
	Object.assign(process.env, { FANFARE_URL: s.url, FANFARE_API_KEY: s.key, FANFARE_AUTH_KEY: secret });
	const { id } = await publish('env', { n: 1 });
	assert.equal((await history('env')).cursor, id);
	assert.match(await mintToken({ sub: '1' }), /^[\w-]+\.[\w-]+\.[\w-]+$/);
});
