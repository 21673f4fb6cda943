// browser-rules.mjs - what a page of a stranger's can do with the browser of somebody who is
// logged in: nothing (I3), and what the demo page lets into itself: nothing.
//
// All sites are of one host with ports of their own, so that the cookie is sent for every
// request of every page, as it is between names of one domain.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { BROWSERS, LIMIT, Server, finish, launch, mint, openPage, site, sleep, until } from './harness.mjs';

let s;				// the victim's server
let friend, stranger;		// sites: one that is configured, one that is not
const browsers = {};
const cookie = mint({ sub: '42', fanfare: { subscribe: ['**'], publish: ['**'] } });

before(async () => {
	const page = { body: '<!doctype html><title>page</title><body>' };
	friend = await site({ '/': { ...page, headers: { 'Set-Cookie': `fanfare_token=${cookie}; Path=/; HttpOnly` } },
		'/isolated': { ...page, headers: { 'Cross-Origin-Embedder-Policy': 'require-corp', 'Cross-Origin-Opener-Policy': 'same-origin' } } });
	stranger = await site({ '/': page });
	s = await Server.make('victim', { isPublic: false, options: ['--demo', `--server.cors_origins=${friend.origin}`] });
	for (const name of BROWSERS)
		browsers[name] = await launch(name);
}, LIMIT);

after(finish, LIMIT);

const logged = (pattern) => (fs.readFileSync(s.log, 'utf8').match(pattern) ?? []).length;

// Logged in: the cookie is there for all ports of the host.
async function victim(name, origin) {
	await (await openPage(browsers[name], friend.origin)).close();
	return openPage(browsers[name], origin);
}

const stream = (page, url) => page.evaluate((u) => new Promise((resolve) => {
	const es = new EventSource(u, { withCredentials: true });
	es.addEventListener('fanfare.live', () => { es.close(); resolve('live'); });
	es.onerror = () => { resolve(`error ${es.readyState}`); es.close(); };
}), url);

for (const name of BROWSERS) {
	test(`I3: ${name}: forms, beacons and fetches of a stranger's page publish nothing, whatever cookies go along`, LIMIT, async () => {
		const page = await victim(name, stranger.origin);
		const topic = `csrf-${name}`;
		const refused = logged(/ 401 token_missing .* POST \/publish/g);
		const urls = [`${s.origin}/publish`, `${s.origin}/publish?topic=${topic}`, `${s.origin}/publish?topic=${topic}&token=${cookie}`];
		const tried = await page.evaluate(async (all, t) => {
			const json = JSON.stringify({ topic: t, data: 'evil' }), body = new URLSearchParams({ topic: t, data: 'evil' });
			let n = 0, read = 0;

			for (const url of all) {
				for (const enctype of ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']) {
					const frame = document.body.appendChild(document.createElement('iframe'));
					const form = document.body.appendChild(document.createElement('form'));
					frame.name = `f${++n}`;
					Object.assign(form, { method: 'post', action: url, enctype, target: frame.name });
					// As text/plain it reads {"topic":...,"data":"evil=x"}.
					for (const [k, v] of enctype === 'text/plain' ? [[json.replace(/"}$/, ''), '"}']] : [['topic', t], ['data', 'evil']])
						form.appendChild(Object.assign(document.createElement('input'), { name: k, value: v }));
					const loaded = new Promise((resolve) => { frame.onload = resolve; setTimeout(resolve, 1000); });
					form.submit();
					await loaded;
				}
				for (const b of [json, body, new Blob([json], { type: 'text/plain' }), new Blob([json])]) {
					await fetch(url, { method: 'POST', mode: 'no-cors', credentials: 'include', body: b }).catch(() => {});
					navigator.sendBeacon(url, b);
					n += 2;
				}
				for (const headers of [{}, { 'content-type': 'application/json' }, { 'idempotency-key': 'x' }])
					await fetch(url, { method: 'POST', credentials: 'include', body: json, headers }).then(() => read++, () => {});
			}
			return { n, read };
		}, urls, topic);
		// Those without a preflight arrive, and are refused; none of the answers can be read.
		await until('they have arrived', () => logged(/ 401 token_missing .* POST \/publish/g) - refused >= tried.n);
		assert.equal(tried.read, 0);
		assert.deepEqual((await s.history(`topic=${topic}`)).events, []);
		assert.equal(logged(/POST \/publish.*403/g), 0);
		await page.close();
	});

	test(`I3: ${name}: the cookie opens streams for the pages that are configured, and for no other`, LIMIT, async () => {
		const url = `${s.origin}/events?topic=private`;
		const mine = await victim(name, friend.origin), theirs = await openPage(browsers[name], stranger.origin);

		assert.equal(await stream(mine, url), 'live');
		const refused = logged(/ 401 token_missing .* GET \/events/g);
		assert.equal(await stream(theirs, url), 'error 2');
		assert.equal(logged(/ 401 token_missing .* GET \/events/g), refused + 1);
		await mine.close();
		await theirs.close();
	});

	test(`I3: ${name}: what a stranger's page embeds comes without the cookie's rights, and it cannot have it`, LIMIT, async () => {
		const page = await victim(name, stranger.origin);
		const url = `${s.origin}/history?topic=private`;
		const refused = logged(/ 401 token_missing .* GET \/history/g);
		const got = await page.evaluate(async (u) => {
			const embed = (tag, more) => new Promise((resolve) => {
				const e = Object.assign(document.createElement(tag), more);
				e.onload = () => resolve('loaded');
				e.onerror = () => resolve('refused');
				document.body.appendChild(e);
			});
			return [await embed('img', { src: `${u}&a` }), await embed('script', { src: `${u}&b` }), await embed('link', { rel: 'stylesheet', href: `${u}&c` }),
				await fetch(`${u}&d`, { mode: 'no-cors', credentials: 'include' }).then(() => 'opaque', () => 'refused'),
				await fetch(`${u}&e`, { credentials: 'include' }).then(() => 'read', () => 'refused')];
		}, url);
		assert.deepEqual(got, ['refused', 'refused', 'refused', 'refused', 'refused']);
		assert.equal(logged(/ 401 token_missing .* GET \/history/g), refused + 5);
		await page.close();
	});

	test(`${name}: a page that is isolated from others loads /fanfare.js and connects`, LIMIT, async () => {
		await victim(name, friend.origin).then((p) => p.close());
		const page = await openPage(browsers[name], `${friend.origin}/isolated`);

		assert.ok(await page.evaluate((u) => import(u).then((m) => Object.keys(m).length > 0), `${s.origin}/fanfare.js`));
		assert.equal(await stream(page, `${s.origin}/events?topic=private`), 'live');
		await page.close();
	});

	test(`${name}: the demo page runs its own script and no other, and stands in nobody's frame`, LIMIT, async () => {
		const page = await openPage(browsers[name], s.url);
		const frame = (where) => where.evaluate((u) => new Promise((resolve) => {
			const f = Object.assign(document.createElement('iframe'), { src: u });
			f.onload = () => { let text = null; try { text = f.contentDocument?.title ?? null; } catch {} resolve(text); };
			document.body.appendChild(f);
			setTimeout(() => resolve('nothing'), 5000);
		}), s.url);

		await until('the page has run', () => page.evaluate(() => window.fanfareDemo !== undefined));
		const injected = await page.evaluate(async () => {
			const blocked = [];
			addEventListener('securitypolicyviolation', (e) => blocked.push(e.effectiveDirective));
			document.body.appendChild(Object.assign(document.createElement('script'), { textContent: 'window.evil = 1' }));
			document.body.appendChild(Object.assign(document.createElement('style'), { textContent: 'body { display: none !important }' }));
			document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.evil = 2"><a id=sly href="javascript:window.evil=3">x</a>');
			document.getElementById('sly').click();
			for (let i = 0; blocked.length < 3 && i < 200; i++)
				await new Promise((resolve) => setTimeout(resolve, 50));
			return [window.evil === undefined, getComputedStyle(document.body).display === 'none', [...new Set(blocked)].sort()];
		});
		assert.deepEqual(injected.slice(0, 2), [true, false]);
		for (const directive of ['script-src-elem', 'style-src-elem', 'img-src'])
			assert.ok(injected[2].includes(directive), `${directive}: ${injected[2]}`);
		await page.close();
		const theirs = await openPage(browsers[name], stranger.origin);
		assert.ok([null, 'nothing', ''].includes(await frame(theirs)));
		await theirs.close();
	});

	test(`${name}: no address that holds a token is told to anybody`, LIMIT, async () => {
		const seen = [];
		const other = await site({ '*': (request, response) => { seen.push(request.headers.referer ?? ''); response.end('x'); } });
		const page = await openPage(browsers[name], `${s.origin}/history?topic=private&token=${cookie}`);

		await page.evaluate((u) => { location.href = u; }, `${other.origin}/next`);
		await until('it was asked', () => seen.length > 0);
		await sleep(100);
		assert.ok(seen.every((r) => !r.includes(s.origin) && !r.includes(cookie)), seen.join(' '));
		await page.close();
	});
}
