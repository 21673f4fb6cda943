// issuers.mjs - login providers: tokens shaped as theirs, signed by Node's crypto, judged by
// the very sections that fanfare-tokens(7) has to copy from; and JWKS over https.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';
import { mintToken } from '../../contrib/js/server.js';
import { LIMIT, Server, atEnd, binary, finish, run, secret, site, tmp, top, until } from './harness.mjs';

const now = () => Math.floor(Date.now() / 1000);
const uuid = '123e4567-e89b-12d3-a456-426614174000';
const legacy = 'super-secret-jwt-token-with-at-least-32-characters-long';

// One key pair of a provider, as it stands in its JWKS.
function pair(kid, alg, extra = {}) {
	const { publicKey, privateKey } = alg === 'RS256' ? crypto.generateKeyPairSync('rsa', { modulusLength: 2048 })
		: alg === 'EdDSA' ? crypto.generateKeyPairSync('ed25519')
			: crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });

	return { kid, alg, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig', ...extra } };
}

const part = (o) => Buffer.from(JSON.stringify(o)).toString('base64url');

function sign({ kid, alg, privateKey }, claims, header = {}) {
	const text = `${part({ alg, kid, typ: 'JWT', ...header })}.${part(claims)}`;
	const signature = alg === 'HS256' ? crypto.createHmac('sha256', privateKey).update(text).digest()
		: crypto.sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });

	return `${text}.${signature.toString('base64url')}`;
}

// A section [auth.*] below a heading of the manual, `n` of them before it.
function example(heading, n = 0) {
	const manual = fs.readFileSync(path.join(top, 'src', 'fanfare-tokens.7'), 'utf8');
	const body = manual.split(`.Ss ${heading}\n`)[1].split('\n.S')[0];

	return [...body.matchAll(/\.Bd -literal[^\n]*\n(\[auth[^]*?)\.Ed/g)][n][1];
}

const keys = {
	clerk: pair('ins_2abcDEF', 'RS256'),
	supabase: pair('b8a3a7e1-7f2c-4c7b-9d0e-000000000001', 'ES256', { key_ops: ['verify'], ext: true }),
	auth0: pair('NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg', 'RS256', { x5c: ['MIIC...'], x5t: 'NjVB' }),
	// With the algorithm that the manual tells it to take.
	better: pair('c5c7995d-0037-4553-8aee-b5b620b89b23', fs.readFileSync(path.join(top, 'src', 'fanfare-tokens.7'), 'utf8')
		.match(/jwt\(\{ jwks: \{ keyPairConfig: \{ alg: '(\w+)' \} \} \}\)/)[1]),
};
const sets = Object.fromEntries(Object.entries(keys).map(([name, k]) => [name, [k.jwk]]));
let endpoint, s;

before(async () => {
	endpoint = await site({ '*': (request, response) => {
		const name = request.url.split('/')[1];

		response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'public, max-age=600' })
			.end(JSON.stringify({ keys: sets[name] }));
	} });
	const file = path.join(tmp, 'supabase-secret');
	const local = (name, text) => text.replace(/^jwks = .*$/m, `jwks = ${endpoint.origin}/${name}`)
		.replace(/^key_file = .*$/m, `key_file = ${file}`);
	const conf = path.join(tmp, 'fanfare.conf');

	fs.writeFileSync(file, `${legacy}\n`, { mode: 0o600 });
	// Side by side each needs rules of its own: these people cannot be mistaken for each other.
	fs.writeFileSync(conf, [local('clerk', example('Clerk')), local('supabase', example('Supabase')),
		local('auth0', example('Auth0')), local('better', example('Better Auth')),
		// The same project with its legacy secret is another one here.
		local('', example('Supabase', 1)).replace('[auth.supabase]', '[auth.legacy]').replaceAll('PROJECT', 'LEGACY'),
	].map((section) => `${section.trimEnd()}\ntopics = user/{sub}/**\n`).join('\n') + '[topics]\nauthenticated = user/{sub}/**\n');
	s = await Server.make('issuers', { isPublic: false, options: ['-c', conf] });
}, LIMIT);
after(finish, LIMIT);

const read = (topic, token, headers) => fetch(`${s.origin}/history?topic=${encodeURIComponent(topic)}`,
	{ headers: headers ?? { authorization: `Bearer ${token}` } }).then((r) => r.status);

// It opens its own user's topics and the granted ones, for reading, and nothing else.
async function opens(token, sub, granted) {
	assert.equal(await read(`user/${sub}/inbox`, token), 200, `user/${sub}/inbox`);
	assert.equal(await read(`user/${sub}`, token), 200);
	assert.equal(await read('user/somebody/inbox', token), 403);
	assert.equal(await read('user/**', token), 403);
	if (granted !== undefined)
		assert.equal(await read(granted, token), 200, granted);
	const r = await fetch(`${s.origin}/publish?topic=user/x`, { method: 'POST', body: 'x', headers: { authorization: `Bearer ${token}` } });
	assert.equal(r.status, 403);

	const stop = new AbortController();
	const stream = await fetch(`${s.origin}/events?topic=${encodeURIComponent(`user/${sub}/**`)}&token=${token}`, { signal: stop.signal });
	assert.equal(stream.status, 200);
	const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
	let text = '';
	const seen = async (what) => {
		while (!text.includes(what)) {
			const { value, done } = await reader.read();
			assert.ok(!done, text);
			text += value;
		}
	};
	await seen('event: fanfare.live\n');
	await s.publish(`user/${sub}/inbox`, `for ${sub}`);
	await seen(`data: for ${sub}\n`);
	stop.abort();
}

const clerk = (sub, more = {}) => sign(keys.clerk, { azp: 'https://app.example.com', exp: now() + 60, fva: [7, -1], iat: now(),
	iss: 'https://YOUR-APP.clerk.accounts.dev', jti: '0f3a', nbf: now() - 10, pla: 'u:free', sid: 'sess_2abc', sts: 'active', sub, v: 2,
	o: { id: 'org_2xyz', slg: 'team', rol: 'admin', per: 'read,manage', fpm: '3,2' }, ...more },
{ cat: 'cl_B7d4PD111AAA' });

test('Clerk: session tokens of a minute, by header, in an address and in its cookie', LIMIT, async () => {
	const token = clerk('user_2abcDEFghi', { fanfare: { subscribe: ['org/org_2xyz/**'], publish: ['**'] } });

	await opens(token, 'user_2abcDEFghi', 'org/org_2xyz/news');
	assert.equal(await read('user/user_2other/x', token), 403);
	// With grace such a token holds a stream for hours.
	assert.equal(await read('user/user_2abcDEFghi/x', clerk('user_2abcDEFghi', { exp: now() - 3600 })), 200);
	assert.equal(await read('user/user_2abcDEFghi/x', clerk('user_2abcDEFghi', { exp: now() - 13 * 3600 })), 401);
	const own = await Server.make('cookie', { isPublic: false, options: ['-c', path.join(tmp, 'fanfare.conf'), '--auth.cookie=__session'] });
	const r = await fetch(`${own.origin}/history?topic=user/user_2abcDEFghi/x`, { headers: { cookie: `a=b; __session=${token}` } });
	assert.equal(r.status, 200);
	await own.kill('SIGTERM');
});

const supabase = (key, project, more = {}, header = {}) => sign(key, { iss: `https://${project}.supabase.co/auth/v1`, sub: uuid,
	aud: 'authenticated', exp: now() + 3600, iat: now(), email: 'ann@example.com', phone: '', app_metadata: { provider: 'email', providers: ['email'] },
	user_metadata: { name: 'Ann', fanfare: { subscribe: ['**'] } }, role: 'authenticated', aal: 'aal1',
	amr: [{ method: 'password', timestamp: now() }], session_id: uuid, is_anonymous: false, ...more }, header);

test('Supabase: signing keys and the legacy secret', LIMIT, async () => {
	const hs = { alg: 'HS256', kid: 'fu1z3B+MoPSHnGCJ', privateKey: legacy };
	const grants = { app_metadata: { provider: 'email', fanfare: { subscribe: ['team/7/**'] } } };

	await opens(supabase(keys.supabase, 'PROJECT', grants), uuid, 'team/7/goals');
	await opens(supabase(hs, 'LEGACY', grants), uuid, 'team/7/goals');
	// What users write about themselves grants nothing, nor does a claim of another name.
	assert.equal(await read('secret', supabase(keys.supabase, 'PROJECT')), 403);
	assert.equal(await read('secret', supabase(keys.supabase, 'PROJECT', { fanfare: { subscribe: ['**'] } })), 403);
	// A Custom Access Token hook's claim, by its name.
	const hook = await Server.make('hook', { isPublic: false, options: ['--auth.supabase.issuer=https://HOOK.supabase.co/auth/v1',
		`--auth.supabase.jwks=${endpoint.origin}/supabase`, '--auth.supabase.topics=user/{sub}/**'] });
	const hooked = await fetch(`${hook.origin}/history?topic=team/7/x&token=${supabase(keys.supabase, 'HOOK', { fanfare: { subscribe: ['team/7/**'] } })}`);
	assert.equal(hooked.status, 200);
	await hook.kill('SIGTERM');
	// The published keys: no sub, another issuer, another audience.
	for (const role of ['anon', 'service_role'])
		assert.equal(await read(`user/${uuid}/x`, sign(hs, { iss: 'supabase', ref: 'LEGACY', role, iat: now(), exp: now() + 1e9 })), 401);
	assert.equal(await read(`user/${uuid}/x`, supabase(keys.supabase, 'PROJECT', { aud: 'anon' })), 401);
	// One project's key is not the other's.
	assert.equal(await read(`user/${uuid}/x`, supabase(keys.supabase, 'LEGACY')), 401);
	assert.equal(await read(`user/${uuid}/x`, supabase(hs, 'PROJECT')), 401);
	// Nor is the public key a secret.
	assert.equal(await read(`user/${uuid}/x`, supabase({ ...hs, privateKey: JSON.stringify(keys.supabase.jwk) }, 'PROJECT')), 401);
});

const auth0 = (sub, more = {}, header = {}) => sign(keys.auth0, { iss: 'https://TENANT.eu.auth0.com/', sub,
	aud: ['https://live.example.com', 'https://TENANT.eu.auth0.com/userinfo'], iat: now(), exp: now() + 86400,
	azp: 'sAlZmyclient', scope: 'openid profile', permissions: ['read:live'],
	'https://live.example.com/fanfare': { subscribe: ['team/7/**'] }, fanfare: { subscribe: ['**'] }, ...more }, header);

test('Auth0: subjects with a bar, an audience among several, a claim that is an address', LIMIT, async () => {
	for (const sub of ['auth0|5f7c8ec7c33c6c004bbafe82', 'google-oauth2|105600000000000000000', 'samlp|idp|ann@example.com'])
		await opens(auth0(sub), sub, 'team/7/goals');
	await opens(auth0('auth0|1', {}, { typ: 'at+jwt' }), 'auth0|1');
	// grants_claim names another claim.
	assert.equal(await read('secret', auth0('auth0|1')), 403);
	assert.equal(await read('user/auth0|1/x', auth0('auth0|1', { aud: 'https://TENANT.eu.auth0.com/userinfo' })), 401);
	assert.equal(await read('user/auth0|1/x', auth0('auth0|1', { iss: 'https://TENANT.eu.auth0.com' })), 401, 'the slash counts');
	// Machine to machine, and subjects that would leave their segment.
	await opens(auth0('client@clients'), 'client@clients');
	for (const sub of ['a/b', '**', '*', '', '../x', 'a\u0000b'])
		assert.notEqual(await read('user/ann/x', auth0(sub)), 200, sub);
});

test('Better Auth: with ES256 as it is, with EdDSA it says what to do', LIMIT, async () => {
	const claims = { iss: 'https://app.example.com', aud: 'https://app.example.com', sub: 'Vq2x9tLrm0', id: 'Vq2x9tLrm0', email: 'a@b.c', iat: now(), exp: now() + 900 };
	const ed = pair('ed', 'EdDSA');

	await opens(sign(keys.better, claims), 'Vq2x9tLrm0');
	sets.ed = [ed.jwk];
	const conf = path.join(tmp, 'ed.conf');
	fs.writeFileSync(conf, `[auth]\nkey = ${secret}\n[auth.better]\nissuer = https://app.example.com\njwks = ${endpoint.origin}/ed\n`);
	const { stdout, stderr } = await run(binary, ['explain', '-c', conf, sign(ed, claims)]);
	assert.match(stderr, /EdDSA \(OKP\), which is not supported: have the issuer sign with ES256/);
	assert.match(stdout, /judged by {6}ok {2}\[auth\.better\]/);
	assert.equal(await read('user/Vq2x9tLrm0/x', sign({ ...ed, kid: keys.better.kid }, claims)), 401);
});

test('Several at once: the same subject of two issuers is two people', LIMIT, async () => {
	const conf = path.join(tmp, 'several.conf'), house = path.join(tmp, 'token-key'), pem = path.join(tmp, 'ci-public.pem');
	const ci = pair(undefined, 'ES256'), exp = now() + 60;

	fs.writeFileSync(house, `${secret}\n`, { mode: 0o600 });
	fs.writeFileSync(pem, crypto.createPublicKey(ci.privateKey).export({ type: 'spki', format: 'pem' }));
	const text = `${example('Several at once').replace(/^jwks = .*$/m, `jwks = ${endpoint.origin}/clerk`)
		.replace('/etc/fanfare/token-key', house).replace('/etc/fanfare/ci-public.pem', pem)}[topics]\nauthenticated = user/{sub}/**\n`;
	// The house's key is among the options that Server.make gives.
	fs.writeFileSync(conf, text.replace(`key_file = ${house}\n`, ''));
	const own = await Server.make('several', { isPublic: false, options: ['-c', conf] });
	const status = (topic, token) => fetch(`${own.origin}/history?topic=${topic}`, { headers: { authorization: `Bearer ${token}` } }).then((r) => r.status);
	const clerks = clerk('42'), ours = await mintToken({ sub: '42' }, { secret });
	const machine = sign(ci, { iss: 'https://ci.example.com', sub: '42', exp, fanfare: { publish: ['builds/**'] } });

	assert.deepEqual([await status('user/42/x', ours), await status('clerk/42/x', ours)], [200, 403]);
	assert.deepEqual([await status('user/42/x', clerks), await status('clerk/42/x', clerks)], [403, 200]);
	assert.deepEqual([await status('user/42/x', machine), await status('clerk/42/x', machine)], [403, 403]);
	const r = await fetch(`${own.origin}/publish?topic=builds/7`, { method: 'POST', body: 'x', headers: { authorization: `Bearer ${machine}` } });
	assert.equal(r.status, 200);
	await own.kill('SIGTERM');
	// Without rules of its own it does not start, and says what to write.
	fs.writeFileSync(conf, text);
	assert.equal((await run(binary, ['check', '-c', conf, `--store.path=${tmp}/x.db`])).code, 0);
	fs.writeFileSync(conf, text.replace(/^topics = clerk.*$/m, ''));
	const { code, stderr } = await run(binary, ['check', '-c', conf]);
	assert.equal(code, 2);
	assert.match(stderr, /several\.conf:\d+: topics\.authenticated: .*Add a line to \[auth\.clerk\]: .*topics = clerk\/\{sub\}\/\*\*/);
});

test('Auth.js: its own token is encrypted, and a minted one does', LIMIT, async () => {
	const jwe = `${part({ alg: 'dir', enc: 'A256CBC-HS512', kid: 'x' })}..${part('iv')}.${part('text')}.${part('tag')}`;

	assert.equal(await read('user/ann/x', jwe), 401);
	const { stdout } = await run(binary, ['explain', `--auth.key=${secret}`, jwe]);
	assert.match(stdout, /encrypted \(JWE, 5 segments\)/);
	await opens(await mintToken({ sub: 'ann', subscribe: ['team/7/**'] }, { secret }), 'ann', 'team/7/x');
});

test('Auth.js: the route handler of the manual, as it stands there', LIMIT, async () => {
	const manual = fs.readFileSync(path.join(top, 'src', 'fanfare-tokens.7'), 'utf8').split('.Ss Auth.js (NextAuth)\n')[1];
	const route = path.join(tmp, 'route.ts'), stub = path.join(tmp, 'auth.ts'), out = path.join(tmp, 'route.mjs');

	fs.writeFileSync(route, manual.match(/\.Bd -literal[^\n]*\n(\/\/ app[^]*?)\.Ed/)[1]);
	fs.writeFileSync(stub, 'let session: unknown = null\nexport const auth = async () => session as { user?: { id?: string } } | null\n'
		+ 'export const signIn = (s: unknown) => { session = s }\n');
	await build({ stdin: { contents: `export * from './route'\nexport { signIn } from './auth'`, resolveDir: tmp, loader: 'ts' }, bundle: true,
		format: 'esm', platform: 'node', outfile: out, logLevel: 'error',
		alias: { '@/auth': stub, 'fanfare-client/server': path.join(top, 'contrib', 'js', 'server.js') } });
	const { GET, signIn } = await import(out);
	process.env.FANFARE_AUTH_KEY = secret;
	try {
		assert.equal((await GET()).status, 401);
		signIn({ user: { name: 'without an id' } });
		assert.equal((await GET()).status, 401);
		signIn({ user: { id: 'cm2x9tLrm0000' } });
		const r = await GET();
		assert.equal(r.status, 200);
		await opens(await r.text(), 'cm2x9tLrm0000');
	} finally {
		delete process.env.FANFARE_AUTH_KEY;
	}
});

test('a provider that rotates is not noticed by those who read', LIMIT, async () => {
	let current = pair('rotation-0', 'ES256');
	let refused = 0, answered = 0, rotations = 0;
	const old = [];

	sets.rotating = [current.jwk];
	const own = await Server.make('rotating', { isPublic: false, options: ['--auth.idp.topics=user/{sub}/**',
		'--auth.idp.issuer=https://rotates', `--auth.idp.jwks=${endpoint.origin}/rotating`] });
	const end = Date.now() + 12000;
	const readers = Array.from({ length: 8 }, async (_, i) => {
		for (let n = 0; Date.now() < end; n++) {
			const token = sign(current, { iss: 'https://rotates', sub: `u${i}`, jti: `${n}`, exp: now() + 60 });
			const r = await fetch(`${own.origin}/history?topic=user/u${i}/x`, { headers: { authorization: `Bearer ${token}` } });

			await r.text();
			answered++;
			if (r.status !== 200)
				refused++;
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
	});
	const rotate = (async () => {
		while (Date.now() < end - 4000) {
			await new Promise((resolve) => setTimeout(resolve, 2000));
			// Published and used at once; the two before stay.
			current = pair(`rotation-${++rotations}`, rotations % 2 ? 'RS256' : 'ES256');
			old.unshift(current.jwk);
			sets.rotating = old.slice(0, 3);
		}
	})();

	await Promise.all([...readers, rotate]);
	assert.ok(rotations >= 3 && answered > 50, `${rotations} rotations, ${answered} answers`);
	assert.equal(refused, 0, `${refused} of ${answered}`);
	await own.kill('SIGTERM');
});

test('https: a certificate that nobody vouches for is refused, one of a known authority is not', LIMIT, async () => {
	const key = path.join(tmp, 'tls.key'), cert = path.join(tmp, 'tls.crt');
	const made = await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key,
		'-out', cert, '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']);
	assert.equal(made.code, 0, made.stderr);
	let hits = 0;
	const tls = https.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert) }, (request, response) => {
		hits++;
		response.end(JSON.stringify({ keys: [keys.clerk.jwk] }));
	}).listen(0, '127.0.0.1');
	await once(tls, 'listening');
	atEnd(() => { tls.closeAllConnections(); tls.close(); });
	const conf = path.join(tmp, 'tls.conf');
	fs.writeFileSync(conf, `[auth]\nkey = ${secret}\n[auth.clerk]\nissuer = https://YOUR-APP.clerk.accounts.dev\njwks = https://localhost:${tls.address().port}/\n`);
	const check = (env) => run(binary, ['check', '-c', conf, `--store.path=${tmp}/x.db`], env);

	let said = (await check({})).stderr;
	assert.match(said, /auth\.clerk\.jwks: https:.*SSL certificate/i);
	assert.equal(hits, 0);
	said = (await check({ SSL_CERT_FILE: cert })).stderr;
	assert.match(said, /key "ins_2abcDEF": an RSA public key/);
	assert.equal(hits, 1);
	fs.writeFileSync(conf, fs.readFileSync(conf, 'utf8').replace('localhost', '127.0.0.1'));
	said = (await check({ SSL_CERT_FILE: cert })).stderr;
	assert.match(said, /auth\.clerk\.jwks: https:.*SSL/i, 'a name that the certificate does not have');
	assert.equal(hits, 1);
});

test('the log names keys and never a token', LIMIT, async () => {
	const token = clerk('user_2secret');

	await read('user/user_2secret/x', token);
	await read('user/user_2secret/x', `${token.slice(0, -4)}AAAA`);
	await until('a refusal', () => fs.readFileSync(s.log, 'utf8').includes('the signature does not match auth.clerk.jwks'));
	const log = fs.readFileSync(s.log, 'utf8');
	assert.ok(!log.includes(token.split('.')[1]) && !log.includes('user_2secret') && !log.includes(legacy));
	assert.match(log, /key "ins_2abcDEF": an RSA public key of 2048 bits, fingerprint [0-9a-f]{8}/);
});
