// package.mjs - contrib/js as npm packs it: installs anywhere, whole, small, and typed.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import zlib from 'node:zlib';
import { transformSync } from 'esbuild';
import { LIMIT, Server, contrib, finish, run, tmp, top } from './harness.mjs';

const modules = path.join(top, 'tests/js/node_modules');
const app = path.join(tmp, 'app');

after(finish, LIMIT);

test('npm pack gives a package that installs and resolves', LIMIT, async () => {
	const packed = await run('npm', ['pack', '--json', path.join(contrib, 'js')], {}, { cwd: tmp });
	assert.equal(packed.code, 0, packed.stderr);
	const [{ filename, files }] = JSON.parse(packed.stdout);
	fs.mkdirSync(app);
	fs.writeFileSync(path.join(app, 'package.json'), '{"type":"module","private":true}');
	const installed = await run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--legacy-peer-deps', path.join(tmp, filename)], {}, { cwd: app });
	assert.equal(installed.code, 0, installed.stderr);

	const got = files.map((f) => f.path);
	for (const name of ['fanfare', 'server', 'react'])
		assert.ok(got.includes(`${name}.js`) && got.includes(`${name}.d.ts`), `${name} is in ${got}`);
	fs.writeFileSync(path.join(app, 'try.mjs'), `
		import { Fanfare, covers } from 'fanfare-client';
		import { Publisher, publish, history, mintToken, FanfareError } from 'fanfare-client/server';
		console.log([Fanfare, covers, Publisher, publish, history, mintToken, FanfareError].map((f) => typeof f).join());`);
	const tried = await run(process.execPath, ['try.mjs'], {}, { cwd: app });
	assert.equal(tried.stdout.trim(), Array(7).fill('function').join(), tried.stderr);
});

// What both READMEs show, as one program; what is theirs to have is declared.
function fromReadmes() {
	const client = path.join(contrib, 'js/README');

	return [[path.join(top, 'README'), 'In the browser'], [client, 'In a page'], [client, 'On a server']].map(([file, heading], i) => {
		const [, section] = new RegExp(`\\n${heading}\\n-+\\n([^]*?)\\n\\n\\n`).exec(fs.readFileSync(file, 'utf8'));
		const [text] = /^ {4}.*(?:\n+ {4}.*)*/m.exec(section);

		return [`readme${i}.ts`, `declare const show: (data: any) => void, badge: (status: string, reason?: string) => void,
			clear: () => void, getToken: () => Promise<string>, user: { id: string }, id: number
			${text.replace('https://live.example.org/fanfare.js', 'fanfare-client')}
			export {}`];
	});
}

for (const compiler of ['typescript', 'typescript5']) {
	const { version } = JSON.parse(fs.readFileSync(path.join(modules, compiler, 'package.json'), 'utf8'));

	test(`the READMEs' lines and typed ones compile with TypeScript ${version}, and wrong ones do not`, LIMIT, async () => {
		const files = [...fromReadmes(), ['types.ts', fs.readFileSync(path.join(top, 'tests/js/types.ts'))]];
		for (const [name, text] of files)
			fs.writeFileSync(path.join(app, name), text);
		fs.rmSync(path.join(app, 'node_modules/@types'), { force: true });
		fs.symlinkSync(path.join(modules, '@types'), path.join(app, 'node_modules/@types'));
		fs.writeFileSync(path.join(app, 'tsconfig.json'), JSON.stringify({ files: files.map(([name]) => name),
			compilerOptions: { strict: true, module: 'esnext', moduleResolution: 'bundler', target: 'es2022', noEmit: true,
				lib: ['esnext', 'dom'], types: [], skipLibCheck: false } }));
		const r = await run(process.execPath, [path.join(modules, compiler, 'bin/tsc'), '-p', '.'], {}, { cwd: app });
		assert.equal(r.code, 0, r.stdout + r.stderr);
	});
}

test('the browser client stays small', LIMIT, () => {
	const text = fs.readFileSync(path.join(contrib, 'js', 'fanfare.js'), 'utf8');
	const small = Buffer.from(transformSync(text, { minify: true, format: 'esm' }).code);
	const gzip = zlib.gzipSync(small, { level: 9 }).length, brotli = zlib.brotliCompressSync(small).length;

	console.log(`# fanfare.js: ${text.length} bytes, ${small.length} minified, ${gzip} with gzip, ${brotli} with brotli`);
	assert.ok(gzip < 6500, `${gzip} bytes`);
});

test('the server serves the same, as small as README says', LIMIT, async () => {
	const s = await Server.make('served');
	const ask = (coding) => fetch(`${s.url}fanfare.js`, { headers: { 'accept-encoding': coding } });
	const [plain, zipped] = [await ask('identity'), await ask('gzip')];
	const text = fs.readFileSync(path.join(contrib, 'js', 'fanfare.js'), 'utf8');
	const size = Number(zipped.headers.get('content-length'));
	const [, says] = /a module of\s+(\d+) kB/.exec(fs.readFileSync(path.join(top, 'README'), 'utf8'));

	assert.deepEqual([plain.headers.get('content-encoding'), zipped.headers.get('content-encoding')], [null, 'gzip']);
	assert.equal(await plain.text(), text);
	assert.equal(await zipped.text(), text);
	console.log(`# GET /fanfare.js: ${size} bytes with gzip`);
	assert.ok(Math.abs(size - 1000 * says) < 600, `README says ${says} kB, it is ${size} bytes`);
});

test('the package has the version of the server', LIMIT, () => {
	const [, version] = /AC_INIT\(\[[^\]]*\],\s*\[([^\]]*)\]/.exec(fs.readFileSync(path.join(top, 'configure.ac'), 'utf8'));

	assert.equal(JSON.parse(fs.readFileSync(path.join(contrib, 'js', 'package.json'))).version, version);
});
