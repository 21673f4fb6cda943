// readme-next.mjs - README's section "Next.js", typed in as it stands there, in an app
// that is otherwise empty.
//
//     FANFARE_BIN=../../../fanfare node readme-next.mjs
//
// Only the two ports are changed.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { LIMIT, Program, binary, contrib, finish, freePorts, launch, openPage, run, tmp, top, until } from '../harness.mjs';

const app = path.join(tmp, 'app');
const nextBin = path.join(app, 'node_modules/next/dist/bin/next');
const started = Date.now();
const say = (text) => console.log(`# ${((Date.now() - started) / 1000).toFixed(1)} s: ${text}`);
const write = (name, text) => {
	fs.mkdirSync(path.dirname(path.join(app, name)), { recursive: true });
	fs.writeFileSync(path.join(app, name), text);
};

// The blocks of the section, in order, each with the text before it.
function blocks([port, site]) {
	const section = /\nNext\.js\n-+\n([^]*?)\n\n\n/.exec(fs.readFileSync(path.join(top, 'README'), 'utf8'))[1];
	let end = 0;

	return [...section.matchAll(/(?:^    .*\n(?:\n(?=    ))?)+/gm)].map(({ 0: block, index }) => {
		const says = section.slice(end, index);
		end = index + block.length;
		return { says, text: block.replace(/^    /gm, '').replaceAll('8080', port).replaceAll('3000', site) };
	});
}

let ports, install, serve, server, files, whole, env, browser;

const next = (...args) => run(process.execPath, [nextBin, ...args], env, { cwd: app });
let site;
async function serveNext() {
	const build = await next('build');
	assert.equal(build.code, 0, build.stdout + build.stderr);
	say('next build');
	site = new Program('next', process.execPath, [nextBin, 'start', '-H', 'localhost', '-p', ports[1]], { cwd: app, env });
	site.start();
	await site.answers(`http://localhost:${ports[1]}/api/token`);
	return build.stdout;
}

const textOf = (page) => page.$eval('button', (el) => el.textContent).catch(() => undefined);
const shows = (page, text) => until(`the page shows "${text}"`, async () => await textOf(page) === text)
	.catch(async (e) => assert.fail(`${e.message}, but "${await textOf(page)}"`));

before(async () => {
	ports = await freePorts(2);
	const all = blocks(ports);
	[install, serve] = all;
	files = new Map(all.slice(2).map(({ says, text }) => [/(app\/[a-z/]+\.tsx?)\b/.exec(says)?.[1], text]).slice(0, 4));
	whole = all.slice(6);
	assert.deepEqual([...files.keys()], ['app/layout.tsx', 'app/api/token/route.ts', 'app/actions.ts', 'app/page.tsx']);

	// What create-next-app would leave here, and fanfare beside it.
	const lock = JSON.parse(fs.readFileSync(path.join(contrib, 'nextjs/package.json'), 'utf8'));
	const { 'fanfare-client': _, ...dependencies } = lock.dependencies;
	write('package.json', JSON.stringify({ name: 'app', private: true, dependencies, devDependencies: lock.devDependencies }));
	fs.copyFileSync(path.join(contrib, 'nextjs/tsconfig.json'), path.join(app, 'tsconfig.json'));
	fs.symlinkSync(top, path.join(tmp, 'fanfare'));
	fs.mkdirSync(path.join(tmp, 'bin'));
	fs.symlinkSync(binary, path.join(tmp, 'bin/fanfare'));
	env = { NEXT_TELEMETRY_DISABLED: '1', PATH: `${tmp}/bin:${path.dirname(process.execPath)}:${process.env.PATH}` };

	// What such an app may have there; to a shell it would mean something else.
	const theirs = 'DATABASE_URL=postgres://ann:pw@db/app?a=1&b=(2)\nNAME=Ann Other\n';
	write('.env.local', theirs);
	const r = await run('sh', ['-ec', install.text], env, { cwd: app });
	assert.equal(r.code, 0, r.stderr);
	assert.ok(fs.readFileSync(path.join(app, '.env.local'), 'utf8').startsWith(theirs), 'what stood in .env.local still does');
	say('installed');
	// Without the parentheses: a subshell would outlive the shell that is ended.
	server = new Program('fanfare', 'sh', ['-ec', serve.text.trim().replace(/^\(|\)$/g, '').replace('fanfare serve', `exec fanfare serve --server.listen=localhost:${ports[0]} --server.admin_listen=off`)], { cwd: app, env });
	server.start();
	await server.answers(`http://localhost:${ports[0]}/healthz`);
	browser = await launch('chromium');
}, { timeout: 240000 });
after(finish, LIMIT);

test("README's 19 lines are a live page", LIMIT, async () => {
	for (const [name, text] of files)
		write(name, text);
	await serveNext();
	const [one, two] = [await openPage(browser, `http://localhost:${ports[1]}/`), await openPage(browser, `http://localhost:${ports[1]}/`)];
	for (const page of [one, two])
		await shows(page, 'placed, live');
	await one.$eval('button', (el) => el.click());	// it may be in the background
	for (const page of [one, two])
		await shows(page, 'ready, live');
	await two.reload();
	await shows(two, 'ready, live');
	assert.deepEqual(browser.failures, []);

	// A layout is there anyway: its lines that are new are the import and the two of the provider.
	const lines = [...files].reduce((n, [name, text]) => n + (name === 'app/layout.tsx' ? 3 : text.trim().split('\n').filter((l) => l.trim()).length), 0);
	assert.equal(lines, 19);
	await site.kill('SIGKILL');
});

test('with its first paint from the server, or without when fanfare is away', LIMIT, async () => {
	const [order, page] = whole;
	const old = files.get('app/page.tsx');
	const text = old.replace(/export default function[^]*?\n.*useFanfare.*\n/, `${order.text}\n`).replace('{ useFanfare }', '{ useFanfare, type History }');

	assert.match(text, /function Order/);
	write('app/order.tsx', text);
	write('app/page.tsx', page.text);
	assert.match(await serveNext(), /ƒ \/$/m, 'it is rendered for each request');
	const html = await fetch(`http://localhost:${ports[1]}/`).then((r) => r.text());
	assert.match(html, /<button>ready<!-- -->, <!-- -->connecting<\/button>/);
	const tab = await openPage(browser, `http://localhost:${ports[1]}/`);
	await shows(tab, 'ready, live');
	assert.deepEqual(browser.failures, []);

	await server.kill();
	const asked = Date.now();
	const without = await fetch(`http://localhost:${ports[1]}/`);
	assert.deepEqual([without.status, (await without.text()).includes('<button>placed<!-- -->, <!-- -->connecting</button>')], [200, true]);
	assert.ok(Date.now() - asked < 3000, `${Date.now() - asked} ms for a page without fanfare`);
	const patient = await openPage(browser, `http://localhost:${ports[1]}/`);
	server.start();
	await shows(patient, 'ready, live');
	await site.kill('SIGKILL');
});
