// proxy.mjs - the shipped configurations of nginx, Caddy and HAProxy, run as they are but
// for addresses, paths, certificate and whatever a test changes by name.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { Program, contrib, freePorts, run, tmp, until } from './harness.mjs';

// What every replacement looks for must stand there exactly once, or the file has changed
// and the test tests nothing.
export function edit(text, changes) {
	for (const [from, to] of changes) {
		const parts = text.split(from);
		assert.equal(parts.length, 2, `"${from}" stands ${parts.length - 1} times in the file`);
		text = parts.join(to);
	}
	return text;
}

// For localhost, signed by itself.
export async function certificate() {
	const pem = path.join(tmp, 'localhost.pem');
	const key = path.join(tmp, 'localhost.key');

	if (!fs.existsSync(pem)) {
		const made = await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
			'-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', pem]);
		assert.equal(made.code, 0, made.stderr);
	}
	return { pem, key };
}

let numbers = 0;
function place(name) {
	const dir = path.join(tmp, `${name}-${++numbers}`);

	fs.mkdirSync(dir);
	return dir;
}

// Where Debian has nginx and HAProxy, and users have not.
const PATH = `${process.env.PATH}:/usr/sbin`;

function program(dir, command, args) {
	const p = new Program(path.basename(dir), command, args, { env: { PATH, HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir } });

	p.dir = dir;
	p.start();
	return p;
}

// All that a proxy has written about requests.
export const logs = (proxy) => [proxy.log, ...fs.readdirSync(proxy.dir).filter((f) => f.endsWith('.log')).map((f) => path.join(proxy.dir, f))]
	.map((f) => (fs.existsSync(f) ? fs.readFileSync(f, 'utf8') : '')).join('');

// nginx with this text in its http block; `main` goes before it.
export async function nginxWith(text, { main = '', events = '' } = {}) {
	const dir = place('nginx');
	const conf = path.join(dir, 'nginx.conf');
	const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((t) => `${t}_temp_path ${dir}/${t};`).join(' ');

	fs.writeFileSync(conf, `daemon off; pid ${dir}/pid; error_log ${dir}/main.log;
${process.getuid() === 0 ? 'user root;' : ''} worker_processes 2; ${main}
events { ${events} }
http { ${temps} access_log off;
${text}
}\n`);
	const checked = await run('nginx', ['-t', '-e', `${dir}/main.log`, '-c', conf], { PATH });
	assert.equal(checked.code, 0, checked.stderr);
	return program(dir, 'nginx', ['-e', `${dir}/main.log`, '-c', conf]);
}

// contrib/nginx before `server`, on https://localhost.
export async function nginx(server, changes = [], more = {}) {
	const { pem, key } = await certificate();
	const [port] = await freePorts(1);
	const logDir = place('logs');
	const text = edit(fs.readFileSync(path.join(contrib, 'nginx', 'fanfare.conf'), 'utf8'), [
		['server unix:/run/fanfare/fanfare.sock;', `server unix:${server.socket};`],
		['listen 443 ssl http2;', `listen 127.0.0.1:${port} ssl http2;`],
		['listen [::]:443 ssl http2;', ''],
		['server_name events.example.com;', 'server_name localhost;'],
		['/etc/ssl/certs/events.example.com.pem', pem],
		['/etc/ssl/private/events.example.com.key', key],
		['/var/log/nginx/fanfare.access.log', `${logDir}/access.log`],
		['/var/log/nginx/fanfare.error.log', `${logDir}/error.log`],
		...changes]);
	const p = await nginxWith(text, more);

	p.dir = logDir;
	return started(p, port);
}

// contrib/caddy, the same, with everything in its log.  `changes` see the file as it was
// shipped.
export async function caddy(server, changes = []) {
	const { pem, key } = await certificate();
	const [port] = await freePorts(1);
	const dir = place('caddy');
	const conf = path.join(dir, 'Caddyfile');

	fs.writeFileSync(conf, edit(fs.readFileSync(path.join(contrib, 'caddy', 'Caddyfile'), 'utf8'), [
		...changes,
		['\tgrace_period', `\tadmin off\n\tdebug\n\tauto_https disable_redirects\n\tskip_install_trust\n\tgrace_period`],
		['events.example.com {', `https://localhost:${port} {\n\tbind 127.0.0.1\n\ttls ${pem} ${key}`],
		['reverse_proxy unix//run/fanfare/fanfare.sock', `reverse_proxy unix/${server.socket}`],
		['/var/log/caddy/fanfare.log', `${dir}/access.log`]]));
	return started(program(dir, 'caddy', ['run', '--config', conf, '--adapter', 'caddyfile']), port);
}

// contrib/haproxy, the same; its log goes to its standard output.
export async function haproxy(server, changes = []) {
	const { pem, key } = await certificate();
	const [port] = await freePorts(1);
	const dir = place('haproxy');
	const conf = path.join(dir, 'haproxy.cfg');
	const both = path.join(dir, 'both.pem');
	const shipped = fs.readFileSync(path.join(contrib, 'haproxy', 'haproxy.cfg'), 'utf8');
	const servers = shipped.split('unix@/run/fanfare/fanfare.sock');

	assert.equal(servers.length, 3, 'two backends reach fanfare');
	fs.writeFileSync(both, fs.readFileSync(pem, 'utf8') + fs.readFileSync(key, 'utf8'), { mode: 0o600 });
	fs.writeFileSync(conf, edit(servers.join(`unix@${server.socket}`), [
		...changes,
		['log /dev/log local0', 'log stdout format raw local0'],
		['maxconn 65536', 'maxconn 4096'],
		['bind :443 ssl crt /etc/haproxy/events.example.com.pem', `bind 127.0.0.1:${port} ssl crt ${both}`]]));
	return started(program(dir, 'haproxy', ['-f', conf]), port);
}

async function started(p, port) {
	p.origin = `https://localhost:${port}`;
	await accepts(p);
	return p;
}

// Until it answers anything at all.
async function accepts(p) {
	await until(`${p.name} accepts`, async () => {
		assert.ok(p.runs, `${p.name} ended: ${p.said().slice(-3000)}`);
		return ask(`${p.origin}/healthz`).then((a) => a.status !== undefined, () => false);
	});
}

// A request that does not mind who signed the certificate, nor a stream as the answer:
// { status, headers, text(): what came so far, ended(), first_ms, close() }.
export function open(url, { headers = {}, method = 'GET', body, agent = false, localAddress } = {}) {
	return new Promise((resolve, reject) => {
		const begun = performance.now();
		const { request } = url.startsWith('https:') ? https : http;
		const r = request(url, { method, headers, rejectUnauthorized: false, agent, localAddress, family: 4 }, (response) => {
			const a = { status: response.statusCode, headers: response.headers, raw: response.rawHeaders,
				isOver: false, body: '', head_ms: performance.now() - begun };
			a.text = () => a.body;
			a.ended = () => a.isOver;
			a.close = () => r.destroy();
			response.setEncoding('utf8').on('data', (t) => {
				a.first_ms ??= performance.now() - begun;
				a.body += t;
			}).on('close', () => { a.isOver = true; }).on('error', () => {});
			resolve(a);
		}).on('error', reject);
		r.end(body);
	});
}

// The same, with all of the answer.
export async function ask(url, options) {
	const a = await open(url, options);

	await until(`${url} has answered`, () => a.ended());
	return a;
}

export const EVENTSOURCE = { accept: 'text/event-stream' };
