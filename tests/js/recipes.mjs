// recipes.mjs - every recipe of fanfare-recipes(7), run as it stands.
//
// The subscribers all listen at once: programs straight to the server and once more
// through nginx, pages in real browsers through nginx.  The server is killed in the
// middle, stays away until the pages have met nginx's 502, and comes back with events
// that nobody has seen; later it comes back with another log.  The publishers meet a
// server whose answers get lost on the way.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import esbuild from 'esbuild';
import { compile as compileSvelte } from 'svelte/compiler';
import { compileScript, compileTemplate, parse as parseVue } from 'vue/compiler-sfc';
import { BROWSERS, LIMIT, Program, Server, atEnd, binary, contrib, finish, freePorts, launch, openPage, run, sleep, tmp, top, until } from './harness.mjs';

const recipes = path.join(contrib, 'recipes');
const modules = path.join(top, 'tests', 'js', 'node_modules');
const nameOf = (file) => path.join(tmp, 'programs', file);

const PATIENCE = 15000;	// so that one which hangs leaves the others their time

after(finish);

// --- the programs ---

// Go needs nothing but its own library.  What it has compiled is kept: the first time
// takes a while.
async function buildGo(file) {
	const program = nameOf(file.replace('.go', ''));
	const { code, stderr } = await run('go', ['build', '-o', program, path.join(recipes, file)], {
		GOCACHE: path.join(modules, '.cache', 'go'), GOPATH: path.join(tmp, 'go'), GOTOOLCHAIN: 'local',
		GOPROXY: 'off', GO111MODULE: 'off' });

	assert.equal(code, 0, stderr);
	return program;
}

// How each program is run, as [command, arguments].  Node.js looks for packages beside
// the file, so its recipes are run from a copy that has some.
const node = (file) => [process.execPath, [nameOf(file)]];
const commands = {
	'subscribe.mjs': () => node('subscribe.mjs'),
	'subscribe.py': () => ['python3', [path.join(recipes, 'subscribe.py')]],
	'subscribe.go': () => [nameOf('subscribe'), []],
	'subscribe.sh': () => ['sh', [path.join(recipes, 'subscribe.sh')]],
	'publish.mjs': () => node('publish.mjs'),
	'publish.py': () => ['python3', [path.join(recipes, 'publish.py')]],
	'publish.go': () => [nameOf('publish'), []],
	'publish.sh': () => ['sh', [path.join(recipes, 'publish.sh')]],
	'publish.php': () => ['php', [path.join(recipes, 'publish.php')]],
};
const subscribers = Object.keys(commands).filter((f) => f.startsWith('subscribe'));
const publishers = Object.keys(commands).filter((f) => f.startsWith('publish'));

let cursors = 0;

before(async () => {
	fs.mkdirSync(nameOf(''));
	fs.symlinkSync(modules, nameOf('node_modules'));
	for (const file of ['subscribe.mjs', 'publish.mjs'])
		fs.copyFileSync(path.join(recipes, file), nameOf(file));
	await buildGo('subscribe.go');
	await buildGo('publish.go');
}, LIMIT);

// The arguments of a subscriber that begins after an id: subscribe.sh has it in a file.
function subscription(file, topic, cursor = '') {
	const [command, args] = commands[file]();

	if (file !== 'subscribe.sh')
		return [command, [...args, topic, ...(cursor === '' ? [] : [cursor])]];
	const at = path.join(tmp, `cursor-${++cursors}`);
	if (cursor !== '')
		fs.writeFileSync(at, cursor);
	return [command, [...args, topic, at]];
}

function listen(name, file, s, topic, { origin = s.origin, cursor } = {}) {
	const [command, args] = subscription(file, topic, cursor);
	const program = new Program(name, command, args, { env: { FANFARE_URL: origin, FANFARE_API_KEY: s.key } });

	program.start();
	program.events = () => program.said().split('\n').slice(0, -1).filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
	program.gaps = () => program.said().split('\n').filter((line) => line.includes('fanfare.gap')).length;
	return program;
}

// --- the pages ---

// What a bundler's plugin does with a component, and no more.
const components = {
	name: 'components',
	setup(build) {
		build.onLoad({ filter: /\.vue$/ }, ({ path: file }) => {
			const source = fs.readFileSync(file, 'utf8');
			const { descriptor, errors } = parseVue(source, { filename: file });
			assert.deepEqual(errors, []);
			const script = compileScript(descriptor, { id: 'recipe' });
			const template = compileTemplate({ id: 'recipe', filename: file, source: descriptor.template.content,
				compilerOptions: { bindingMetadata: script.bindings } });
			assert.deepEqual(template.errors, []);
			return { contents: `${script.content.replace('export default', 'const component =')}
				${template.code}
				export default Object.assign(component, { render });`, resolveDir: modules };
		});
		build.onLoad({ filter: /\.svelte$/ }, ({ path: file }) => {
			const { js, warnings } = compileSvelte(fs.readFileSync(file, 'utf8'), { filename: file });
			assert.deepEqual(warnings.map((w) => w.message), []);
			return { contents: js.code, resolveDir: modules };
		});
	},
};

// Around each component an application that can give it another topic and take it away.
const applications = {
	vue: `import { createApp, h, reactive } from 'vue';
		import Subscribe from '${recipes}/Subscribe.vue';
		const props = reactive({ topic: 'scores/7' });
		const app = createApp({ render: () => h(Subscribe, props) });
		app.mount(document.body);
		window.listenTo = (topic) => { props.topic = topic; };
		window.leave = () => app.unmount();`,
	svelte: `import { mount } from 'svelte';
		import App from './App.svelte';
		mount(App, { target: document.body });`,
};
const svelteApp = `<script>
	import Subscribe from '${recipes}/Subscribe.svelte';
	let topic = $state('scores/7'), stays = $state(true);
	window.listenTo = (other) => { topic = other; };
	window.leave = () => { stays = false; };
</script>
{#if stays}<Subscribe {topic} />{/if}`;

async function buildPage(name, dir) {
	const source = path.join(tmp, 'pages');

	fs.mkdirSync(source, { recursive: true });
	fs.writeFileSync(path.join(source, 'App.svelte'), svelteApp);
	fs.writeFileSync(path.join(source, `${name}.js`), applications[name]);
	const { warnings } = await esbuild.build({ entryPoints: [path.join(source, `${name}.js`)], outfile: path.join(dir, `${name}.js`),
		bundle: true, format: 'esm', nodePaths: [modules], plugins: [components], logLevel: 'silent',
		conditions: ['browser', 'production'], define: { 'process.env.NODE_ENV': '"production"',
			__VUE_OPTIONS_API__: 'true', __VUE_PROD_DEVTOOLS__: 'false', __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false' } });
	assert.deepEqual(warnings, []);
	fs.writeFileSync(path.join(dir, `${name}.html`),
		`<!doctype html><meta charset="utf-8"><body></body><script type="module" src="${name}.js"></script>`);
}

// nginx as README has it, and pages beside.
async function startNginx(s, pages) {
	const [port] = await freePorts(1);
	const dir = path.join(tmp, 'nginx');
	const access = path.join(dir, 'access.log');

	fs.mkdirSync(dir);
	fs.writeFileSync(path.join(dir, 'nginx.conf'), `${process.getuid() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid ${dir}/pid;
error_log stderr;
events { worker_connections 200; }
http {
	types { text/html html; text/javascript js; }
	log_format answers '$status $http_referer';
	access_log ${access} answers;
	${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((t) => `${t}_temp_path ${dir}/${t};`).join(' ')}
	server {
		listen 127.0.0.1:${port};
		root ${pages};
		location = /favicon.ico { access_log off; return 204; }
		location /events {
			proxy_pass ${s.origin};
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
			proxy_read_timeout 90s;
		}
	}
}
`);
	const nginx = new Program('nginx', 'nginx', ['-p', dir, '-c', `${dir}/nginx.conf`, '-e', 'stderr']);
	nginx.start();
	nginx.origin = `http://127.0.0.1:${port}`;
	await nginx.answers(`${nginx.origin}/subscribe.html`);
	nginx.answered = (page) => fs.readFileSync(access, 'utf8').split('\n').filter((line) => line.includes(page));
	nginx.refused = (page) => nginx.answered(page).filter((line) => line.startsWith('502')).length;
	return nginx;
}

async function openSubscriber(browser, url) {
	const page = await openPage(browser, url);
	const isRaw = url.includes('subscribe.html');
	const items = () => page.$$eval('li', (list) => list.map((li) => li.textContent)).catch(() => []);

	return { page, items, isPage: true, isRaw,
		status: () => page.$eval('p', (p) => p.textContent).catch(() => ''),
		events: async () => isRaw ? items() : (await items()).map((text) => {
			const [, event, data] = text.trim().match(/^(\w*): (.*)$/su);
			return { event, data: JSON.parse(data) };
		}) };
}

// --- what is sent ---

const awkward = ['Goal!', ' leading', '   three leading', 'trailing  ', '', 'two\nlines', '\nbegins and ends with one\n', 'a\r\nb\rc',
	'Tor für Köln – 進球 🎺', 'data: id: 7', ': no comment', 'back\\slash \\n \\', '"quoted" \'and\' `$(not run)` %s &amp; <b>',
	'{"looks":"like JSON"}', { home: 1, away: 0 }, { text: 'ü\n\u2028\u0085 \\ "', list: [1, -2.5, 1e21, null, true] }, [[]], 42, null, 'the end'];
const name = (i) => i % 3 === 0 ? undefined : 'goal';
// In a raw stream text has LF for every line end, and JSON is text.
const raw = (data) => typeof data === 'string' ? data.replace(/\r\n?/g, '\n') : JSON.stringify(data);

function expected(subscriber, count) {
	return awkward.slice(0, count).map((data, i) => subscriber.isRaw ? raw(data)
		: { event: name(i) ?? '', data });
}

const plain = (subscriber, events) => events.map((e) => subscriber.isRaw ? e : { event: e.event ?? '', data: e.data });

function subscribersOverKills() {
	const heard = {};		// name -> { ten, all, gap }
	const labels = [...subscribers.flatMap((f) => [f, `${f} behind nginx`]),
		...BROWSERS.map((b) => `subscribe.html in ${b}`), 'Subscribe.vue in chromium', 'Subscribe.svelte in chromium'];
	const listeners = {};
	const failures = [];
	let server, nginx, chromium, firefox;

	// Wait for all of them; who does not get there fails in its own test.
	async function all(what, condition) {
		await Promise.all(Object.entries(listeners).map(([label, l]) => until(what, () => condition(l), PATIENCE)
			.catch(async (e) => { heard[label].late ??= `${e.message}; it said ${l.isPage ? await l.status() : l.said().slice(-1000)}`; })));
	}

	const has = (n) => async (l) => (await l.events()).length >= n;

	async function note(what) {
		for (const [label, l] of Object.entries(listeners))
			heard[label][what] = plain(l, await l.events());
	}

	async function send(from, to) {
		// Pages may see scores, orders take a key.
		await server.publish(awkward.slice(from, to).map((data, i) => ({ topics: ['scores/7', 'orders/7'], data,
			...(name(from + i) !== undefined && { event: name(from + i) }) })));
	}

	before(async () => {
		const pages = path.join(tmp, 'site');

		fs.mkdirSync(pages);
		fs.copyFileSync(path.join(recipes, 'subscribe.html'), path.join(pages, 'subscribe.html'));
		[server] = await Promise.all([Server.make('recipes', { isPublic: false, options: ['--topics.public=scores/**', '--server.drain_time=1s'] }),
			buildPage('vue', pages), buildPage('svelte', pages)]);
		nginx = await startNginx(server, pages);
		[chromium, firefox] = await Promise.all(BROWSERS.map((b) => launch(b)));

		for (const label of labels)
			heard[label] = {};
		for (const file of subscribers) {
			listeners[file] = listen(file, file, server, 'orders/**');
			listeners[`${file} behind nginx`] = listen(`${file}-nginx`, file, server, 'orders/**', { origin: nginx.origin });
		}
		await Promise.all([['subscribe.html in chromium', chromium, 'subscribe'], ['subscribe.html in firefox', firefox, 'subscribe'],
			['Subscribe.vue in chromium', chromium, 'vue'], ['Subscribe.svelte in chromium', chromium, 'svelte'],
		].map(async ([label, browser, page]) => {
			listeners[label] = await openSubscriber(browser, `${nginx.origin}/${page}.html`);
		}));
		await until('all of them listen', async () => await server.streams() === labels.length, PATIENCE).catch((e) => failures.push(e.message));

		await send(0, 10);
		await all('ten events', has(10));
		await note('ten');

		await server.kill();
		await until('all pages have met a 502', () => nginx.refused('subscribe.html') >= 2
			&& nginx.refused('vue.html') >= 1 && nginx.refused('svelte.html') >= 1, PATIENCE).catch((e) => failures.push(e.message));
		await server.start();
		await send(10, 20);
		await all('twenty events', has(20));
		await sleep(300);
		await note('all');

		await server.kill();
		for (const file of fs.readdirSync(server.dir).filter((f) => f.startsWith('fanfare.db')))
			fs.rmSync(path.join(server.dir, file));
		await server.start();
		await until('all of them are back', async () => await server.streams() === labels.length, PATIENCE).catch((e) => failures.push(e.message));
		await server.publish([{ topics: ['scores/7', 'orders/7'], event: 'goal', data: 'a new log' }]);
		await all('the event of the new log', async (l) => JSON.stringify((await l.events()).at(-1) ?? '').includes('a new log'));
		await note('anew');
		// Firefox reports a lost connection as if it were the page's mistake.
		failures.push(...chromium.failures, ...firefox.failures.filter((f) => !/^Firefox can.t establish|^The connection to .* was interrupted/.test(f)));
	}, LIMIT);

	test('all of them listened, met a 502 and came back, and no page had an error', () => {
		assert.deepEqual(failures, []);
	});

	for (const label of labels) {
		test(`${label} gets twenty awkward events over the kill, none lost, none twice`, () => {
			const l = listeners[label];

			assert.equal(heard[label].late, undefined);
			assert.deepEqual(heard[label].ten, expected(l, 10));
			assert.deepEqual(heard[label].all, expected(l, 20));
		});

		test(`${label} notices that the log is another one`, () => {
			const l = listeners[label];
			const last = l.isRaw ? 'a new log' : { event: 'goal', data: 'a new log' };

			// A page begins anew; a program says so and goes on.
			assert.deepEqual(heard[label].anew, l.isPage ? [last] : [...expected(l, 20), last]);
			if (!l.isPage)
				assert.equal(l.gaps(), 1, l.said());
		});
	}

	for (const label of ['Subscribe.vue in chromium', 'Subscribe.svelte in chromium']) {
		test(`${label} takes another topic, and ends its stream when it goes`, LIMIT, async () => {
			const l = listeners[label];
			const streams = await server.streams();
			const other = `scores/of ${label}`;

			await server.publish(other, 'the other match', 'goal');
			await l.page.evaluate((topic) => window.listenTo(topic), other);
			await until('the other topic', async () => (await l.items()).length === 1
				&& JSON.stringify(await l.events()).includes('the other match'));
			await server.publish('scores/7', 'not for this page', 'goal');
			await server.publish(other, 'the second', 'goal');
			await until('the second', async () => (await l.items()).length >= 2);
			assert.deepEqual((await l.events()).map((e) => e.data), ['the other match', 'the second']);
			await l.page.evaluate(() => window.leave());
			await until('one stream less', async () => await server.streams() === streams - 1);
		});
	}

	for (const file of subscribers) {
		test(`${file} goes on where an earlier run of it ended`, LIMIT, async () => {
			const { ids } = await server.publish([1, 2, 3].map((n) => ({ topic: `again/${file}`, data: n })));
			const l = listen(`${file}-again`, file, server, `again/${file}`, { cursor: ids[0] });

			await until('two events', () => l.events().length >= 2);
			await server.publish(`again/${file}`, 4);
			await until('the next', () => l.events().length >= 3);
			assert.deepEqual(l.events().map((e) => [e.topic, e.data]), [2, 3, 4].map((n) => [`again/${file}`, n]));
			await l.kill();
		});

		test(`${file} says why it was refused, and ends`, LIMIT, async () => {
			const [command, args] = subscription(file, 'orders/7');
			const { code, stdout, stderr } = await run(command, args,
				{ FANFARE_URL: server.origin, FANFARE_API_KEY: 'ffk_wrong' }, { timeout: 20000 });

			assert.equal(code, 1, stderr);
			assert.equal(stdout, '');
			assert.match(stderr, /the credential is not one of ours/);
		});
	}

	test('A program says why the server ends its stream, and comes back', LIMIT, async () => {
		const streams = await server.streams();
		const programs = subscribers.map((file) => listen(`${file}-drained`, file, server, 'orders/8'));

		await until('all of them listen', async () => await server.streams() >= streams + programs.length);
		await server.restart('SIGTERM');
		await server.publish('orders/8', 'after the restart');
		for (const p of programs) {
			await until('the event', () => p.events().length > 0);
			assert.deepEqual(p.events().map((e) => e.data), ['after the restart']);
			assert.match(p.said(), /fanfare\.close .*"drain"/);
			assert.doesNotMatch(p.said(), /fanfare\.gap/);
			await p.kill();
		}
	});

	test('Every page says why it was refused', LIMIT, async () => {
		// The same server with other rules: pages are not let in any more.
		server.args = server.args.filter((a) => a !== '--topics.public=scores/**');
		await server.restart();
		const pages = [...BROWSERS.map((b) => listeners[`subscribe.html in ${b}`]),
			await openSubscriber(chromium, `${nginx.origin}/vue.html`), await openSubscriber(chromium, `${nginx.origin}/svelte.html`)];

		for (const l of pages)
			await until('the reason', async () => /^unauthorized: ./.test(await l.status()));
		const asked = nginx.answered('html').length;
		await sleep(2000);	// longer than a lost connection is waited for
		assert.equal(nginx.answered('html').length, asked, 'none of them tries again');
	});
}

// A way to the server that does something to its connections: each is given to
// bad(number, client, upstream), which sees to what comes back.
async function wayTo(s, bad) {
	const open = new Set();
	const way = net.createServer((client) => {
		const upstream = net.connect(s.port, '127.0.0.1');

		for (const socket of [client, upstream]) {
			open.add(socket);
			socket.on('error', () => {});
		}
		client.on('close', () => upstream.destroy());
		client.pipe(upstream);
		bad(++way.count, client, upstream);
	}).listen(0, '127.0.0.1');

	await once(way, 'listening');
	atEnd(() => { way.close(); open.forEach((socket) => socket.destroy()); });
	return Object.assign(way, { count: 0, origin: `http://127.0.0.1:${way.address().port}` });
}

// Answers get lost: the first connection ends when the server has answered, and on the
// second nothing comes back, ever.
function lossy(number, client, upstream) {
	if (number === 1)
		upstream.once('data', () => client.destroy());
	else if (number === 2)
		upstream.resume();
	else
		upstream.pipe(client);
}

async function tear(upstream, client) {
	client.setNoDelay(true);
	for await (const bytes of upstream) {
		let from = 0;
		for (let i = 1; i < bytes.length; i++) {
			if ((bytes[i] & 0xc0) !== 0x80)
				continue;
			client.write(bytes.subarray(from, i));
			await sleep(10);
			from = i;
		}
		client.write(bytes.subarray(from));
	}
}

// The first streams end in the midst of an event, at another place each time, and the
// last one comes with every character torn apart that has several bytes.
const cut = (times) => (number, client, upstream) => {
	let text = '';

	if (number > times)
		return void tear(upstream, client).catch(() => {});
	upstream.on('data', (bytes) => {
		text += bytes.toString('latin1');
		const end = text.indexOf('\r\n\r\n') + 4 + 200 + number * 67 % 170;
		if (text.length >= end) {
			client.end(Buffer.from(text.slice(0, end), 'latin1'));
			upstream.removeAllListeners('data').destroy();
		}
	});
};

function programsOverBadWays() {
	let server;
	const goal = { text: '  Tor für Köln 🎺\n\u2028 \\ "quoted" \'and\' $(not run) %s', score: [1, 0], at: 67.5, more: {} };

	function publish(file, args, { origin = server.origin, key = server.key } = {}) {
		const [command, before] = commands[file]();

		return run(command, [...before, ...args], { FANFARE_URL: origin, FANFARE_API_KEY: key }, { timeout: 60000 });
	}

	const stored = async (topic) => (await server.history(`topic=${encodeURIComponent(topic)}`)).events
		.map(({ event, data }) => ({ event, data }));

	before(async () => {
		server = await Server.make('ways');
	}, LIMIT);

	for (const file of subscribers) {
		test(`${file} loses nothing when streams end in the midst of an event or a character`, LIMIT, async () => {
			const times = file === 'subscribe.sh' ? 3 : 6;	// it waits longer
			const topic = `cut/${file}`;
			const { ids } = await server.publish(['the first', ...awkward].map((data) => ({ topic, data })));
			const way = await wayTo(server, cut(times));
			const l = listen(`${file}-cut`, file, server, topic, { origin: way.origin, cursor: ids[0] });

			await until('all events', () => l.events().length >= awkward.length);
			await server.publish(topic, 'one more');
			await until('one more', () => l.events().at(-1).data === 'one more');
			assert.deepEqual(l.events().map((e) => e.data), [...awkward, 'one more']);
			assert.equal(way.count, times + 1);
			await l.kill();
		});
	}

	for (const file of publishers) {
		test(`${file} publishes, and the same key once`, LIMIT, async () => {
			const topic = `goals of ${file}/7 & 8`;
			const key = `goal-1 of ${file}`;
			const first = await publish(file, [topic, 'goal', JSON.stringify(goal), key]);
			const second = await publish(file, [topic, 'goal', JSON.stringify(goal), key]);
			const third = await publish(file, [topic, 'goal', '"a string"']);
			const fourth = await publish(file, [topic, 'goal', '"a string"']);

			for (const { code, stdout, stderr } of [first, second, third, fourth]) {
				assert.equal(code, 0, stderr);
				assert.match(JSON.parse(stdout).id, /^[0-9a-f]{8}-\d+$/);
				assert.equal(stderr, '');
			}
			assert.equal(JSON.parse(first.stdout).duplicate, undefined);
			assert.equal(JSON.parse(second.stdout).duplicate, true);
			assert.equal(JSON.parse(second.stdout).id, JSON.parse(first.stdout).id);
			// Without a key of the caller's each run is an event of its own.
			assert.deepEqual(await stored(topic), [goal, 'a string', 'a string'].map((data) => ({ event: 'goal', data })));
		});

		test(`${file} publishes once when answers get lost on the way`, LIMIT, async () => {
			const way = await wayTo(server, lossy);
			const { code, stdout, stderr } = await publish(file, [`lost/${file}`, 'goal', JSON.stringify(goal)], { origin: way.origin });

			assert.equal(code, 0, stderr);
			assert.equal(JSON.parse(stdout).duplicate, true, 'the first attempt was stored');
			assert.ok(way.count >= 3, `${way.count} connections`);
			assert.deepEqual(await stored(`lost/${file}`), [{ event: 'goal', data: goal }]);
		});

		test(`${file} says what the server refused, at once`, LIMIT, async () => {
			const way = await wayTo(server, (number, client, upstream) => upstream.pipe(client));
			const wrong = await publish(file, [`no/${file}`, 'goal', '1'], { origin: way.origin, key: 'ffk_wrong' });
			const reserved = await publish(file, [`no/${file}`, 'fanfare.live', '1'], { origin: way.origin });

			assert.equal(wrong.code, 1);
			assert.match(wrong.stderr, /401[^]*token_invalid|token_invalid[^]*401/);
			assert.match(wrong.stderr, /the credential is not one of ours/);
			assert.equal(reserved.code, 1);
			assert.match(reserved.stderr, /fanfare\./);
			assert.equal(wrong.stdout + reserved.stdout, '');
			assert.equal(way.count, 2, 'it does not try again');
			assert.deepEqual(await stored(`no/${file}`), []);
		});
	}
}

// At the same time: most of it is waiting.
describe('The recipes:', { concurrency: 2 }, () => {
	describe('every subscriber, over a server that is killed and one that has lost its log:', { concurrency: 1 }, subscribersOverKills);
	describe('every program, over connections that fail:', { concurrency: 9 }, programsOverBadWays);
});

test('Every recipe is run', () => {
	assert.deepEqual(fs.readdirSync(recipes).sort(),
		[...Object.keys(commands), 'subscribe.html', 'Subscribe.vue', 'Subscribe.svelte'].sort());
});

test('The manual page holds every recipe as it stands', LIMIT, async () => {
	const page = path.join(path.dirname(binary), 'src', 'fanfare-recipes.7');
	const { code, stdout, stderr } = await run('groff', ['-mandoc', '-Tutf8', '-ww', '-P-cbou', '-rLL=120n', page],
		{ GROFF_NO_SGR: '1' });
	const text = stdout.split('\n').map((line) => line.trim()).filter((line) => line !== '').join('\n');

	assert.equal(code, 0);
	assert.equal(stderr, '', 'no warnings');
	for (const file of fs.readdirSync(recipes)) {
		const recipe = fs.readFileSync(path.join(recipes, file), 'utf8').split('\n')
			.map((line) => line.trim().replace(/\t+/g, '\t')).filter((line) => line !== '').join('\n');
		// Only white space may differ.
		assert.ok(text.replace(/\s+/g, ' ').includes(recipe.replace(/\s+/g, ' ')), `${file} stands there`);
	}
});
