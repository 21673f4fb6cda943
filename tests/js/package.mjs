// package.mjs - contrib/js as npm packs it: installs anywhere, whole, small, and typed.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import zlib from 'node:zlib';
import { transformSync } from 'esbuild';
import { LIMIT, contrib, finish, run, tmp, top } from './harness.mjs';

after(finish, LIMIT);

test('npm pack gives a package that installs and resolves, with types for everything', LIMIT, async () => {
	const packed = await run('npm', ['pack', '--json', path.join(contrib, 'js')], {}, { cwd: tmp });
	assert.equal(packed.code, 0, packed.stderr);
	const [{ filename, files }] = JSON.parse(packed.stdout);
	const app = path.join(tmp, 'app');
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

test('the browser client stays small', LIMIT, () => {
	const text = fs.readFileSync(path.join(contrib, 'js', 'fanfare.js'), 'utf8');
	const small = Buffer.from(transformSync(text, { minify: true, format: 'esm' }).code);
	const gzip = zlib.gzipSync(small, { level: 9 }).length, brotli = zlib.brotliCompressSync(small).length;

	console.log(`# fanfare.js: ${text.length} bytes, ${small.length} minified, ${gzip} with gzip, ${brotli} with brotli`);
	assert.ok(gzip < 6000, `${gzip} bytes`);
});

test('the package has the version of the server', LIMIT, () => {
	const [, version] = /AC_INIT\(\[[^\]]*\],\s*\[([^\]]*)\]/.exec(fs.readFileSync(path.join(top, 'configure.ac'), 'utf8'));

	assert.equal(JSON.parse(fs.readFileSync(path.join(contrib, 'js', 'package.json'))).version, version);
});
