// harness.mjs - what the tests in this directory share: real servers, real browsers.
//
// Everything listens on loopback, on ports of its own, and lives in one temporary
// directory.  finish() ends what was started here, and nothing else.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';

const here = path.dirname(fileURLToPath(import.meta.url));
export const top = path.join(here, '..', '..');
export const contrib = path.join(top, 'contrib');
export const binary = path.resolve(process.env.FANFARE_BIN ?? path.join(top, 'fanfare'));
export const LIMIT = { timeout: 120000 };
export const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'fanfare-js-'));
// --screenshots DIR: where pictures go, else null.
export const shots = process.argv.includes('--screenshots')
	? path.resolve(process.argv[process.argv.indexOf('--screenshots') + 1]) : null;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Held at the same time, so that no two are the same.
export async function freePorts(n) {
	const probes = Array.from({ length: n }, () => net.createServer().listen(0, '127.0.0.1'));

	await Promise.all(probes.map((p) => once(p, 'listening')));
	const ports = probes.map((p) => p.address().port);
	await Promise.all(probes.map((p) => once(p.close(), 'close')));
	return ports;
}

export async function until(what, condition, limit_ms = 60000) {
	const end = Date.now() + limit_ms;

	for (;;) {
		const value = await condition();
		if (value)
			return value;
		if (Date.now() > end)
			throw new Error(`waited ${limit_ms} ms in vain: ${what}`);
		await sleep(20);
	}
}

// The environment without what the server would take for options of its own.
export function plainEnv(more = {}) {
	return { ...Object.fromEntries(Object.entries(process.env)
		.filter(([name]) => name !== 'PORT' && name !== 'NODE_TEST_CONTEXT' && !name.startsWith('FANFARE_'))), ...more };
}

// Run a program to its end: { code, stdout, stderr }; never throws.
export function run(command, args, env = {}, options = {}) {
	return new Promise((resolve) => {
		execFile(command, args, { env: plainEnv(env), maxBuffer: 1 << 26, ...options },
			(error, stdout, stderr) => resolve({ code: error === null ? 0 : error.code, stdout, stderr }));
	});
}

// --- things that end with the tests ---

const cleanups = [];
export function atEnd(f) {
	cleanups.unshift(f);
}

export async function finish() {
	for (const f of cleanups.splice(0))
		await f();
	fs.rmSync(tmp, { recursive: true, force: true, maxRetries: 5 });
}

// A program that runs beside the tests: nginx, next, ...  Its output goes to `log`.
export class Program {
	constructor(name, command, args, { env = {}, cwd } = {}) {
		Object.assign(this, { name, command, args, env, cwd, log: path.join(tmp, `${name}.log`) });
		atEnd(() => this.end());
	}

	start() {
		const log = fs.openSync(this.log, 'a');
		this.process = spawn(this.command, this.args, { env: plainEnv(this.env), cwd: this.cwd, stdio: ['ignore', log, log] });
		fs.closeSync(log);
		this.gone = new Promise((resolve) => { this.process.once('exit', resolve).once('error', resolve); });
	}

	get runs() {
		return this.process !== undefined && this.process.exitCode === null && this.process.signalCode === null;
	}

	said() {
		return fs.existsSync(this.log) ? fs.readFileSync(this.log, 'utf8') : '';
	}

	async answers(url, limit_ms = 30000) {
		await until(`${this.name} answers`, () => {
			assert.ok(this.runs, `${this.name} ended: ${this.said().slice(-3000)}`);
			return fetch(url).then((r) => r.body?.cancel().then(() => r.ok) ?? r.ok, () => false);
		}, limit_ms);
	}

	async kill(signal = 'SIGTERM') {
		if (this.runs)
			this.process.kill(signal);
		await this.gone;
	}

	// With a chance to take its own children along, as nginx does its workers.
	async end(limit_ms = 3000) {
		if (!this.runs)
			return;
		this.process.kill('SIGTERM');
		await Promise.race([this.gone, sleep(limit_ms)]);
		await this.kill('SIGKILL');
	}
}

// --- the server ---

export const secret = 'a-secret-for-tests-of-32-bytes-or-more';

// A token as a login page would make it; `claims` may hold anything.
export function mint(claims, key = secret) {
	const part = (o) => Buffer.from(JSON.stringify(o)).toString('base64url');
	const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`;

	return `${text}.${crypto.createHmac('sha256', key).update(text).digest('base64url')}`;
}

// One server on its own port and store; it can be killed and started again.
// `listen` other than the port's, and any options, may be given.  With `unixSocket` it
// listens on s.socket too, as behind a proxy.
export class Server {
	static async make(name, { options = [], isPublic = true, listen, unixSocket = false } = {}) {
		const s = new this();
		s.dir = fs.mkdtempSync(path.join(tmp, `${name}-`));
		[s.port, s.adminPort] = await freePorts(2);
		s.origin = `http://127.0.0.1:${s.port}`;
		s.url = `${s.origin}/`;
		s.keys = path.join(s.dir, 'api-keys');
		s.log = path.join(s.dir, 'log');
		s.socket = path.join(s.dir, 'fanfare.sock');
		s.key = (await run(binary, ['key'])).stdout.trim();
		assert.match(s.key, /^ffk_/, 'fanfare key prints a key alone');
		fs.writeFileSync(s.keys, `tests:${s.key}\n`, { mode: 0o600 });
		s.args = ['serve', `--server.listen=${listen ?? `127.0.0.1:${s.port}`}${unixSocket ? `,unix:${s.socket}` : ''}`,
			`--server.admin_listen=127.0.0.1:${s.adminPort}`,
			`--store.path=${path.join(s.dir, 'fanfare.db')}`,
			`--auth.api_keys_file=${s.keys}`, `--auth.key=${secret}`, '--stream.retry=1s',
			...(isPublic ? ['--topics.public=**'] : []), ...options];
		atEnd(() => s.kill());
		await s.start();
		return s;
	}

	async start() {
		const log = fs.openSync(this.log, 'a');
		this.process = spawn(binary, this.args, { env: plainEnv(), stdio: ['ignore', log, log] });
		fs.closeSync(log);
		this.isKilled = false;
		this.gone = once(this.process, 'exit').then(([code, signal]) => {
			if (!this.isKilled)
				console.log(`# the server ended by itself: ${signal ?? code}\n${fs.readFileSync(this.log, 'utf8').slice(-3000).replace(/^/gm, '# ')}`);
		});
		await until('the server is healthy', async () => {
			assert.equal(this.process.exitCode, null,
				`the server ended: ${fs.readFileSync(this.log, 'utf8').slice(-2000)}`);
			return fetch(`http://127.0.0.1:${this.adminPort}/healthz`).then((r) => r.ok, () => false);
		});
	}

	get runs() {
		return this.process.exitCode === null && this.process.signalCode === null;
	}

	async kill(signal = 'SIGKILL') {
		this.isKilled = true;
		if (this.runs)
			this.process.kill(signal);
		await this.gone;
	}

	async restart(signal = 'SIGKILL') {
		await this.kill(signal);
		await this.start();
	}

	// Only while it does not run: a new log.
	wipe() {
		for (const file of fs.readdirSync(this.dir).filter((f) => f.startsWith('fanfare.db')))
			fs.rmSync(path.join(this.dir, file));
	}

	// Publish one event, an array of them, or with (topic, data, event); the answer.
	async publish(topic, data, event, { origin = this.origin } = {}) {
		const body = typeof topic === 'string' ? { topic, data, event } : topic;
		const r = await fetch(`${origin}/publish`, { method: 'POST', body: JSON.stringify(body),
			headers: { authorization: `Bearer ${this.key}`, 'content-type': 'application/json' } });
		const answer = await r.json();
		assert.equal(r.status, 200, JSON.stringify(answer));
		return answer;
	}

	history(query) {
		return fetch(`${this.origin}/history?${query}`, { headers: { authorization: `Bearer ${this.key}` } }).then((r) => r.json());
	}

	stats() {
		return fetch(`http://127.0.0.1:${this.adminPort}/stats`).then((r) => r.json());
	}

	async streams() {
		return (await this.stats()).threads.reduce((n, t) => n + t.streams, 0);
	}
}

// --- browsers ---

export const BROWSERS = ['chromium', 'firefox'];

// A real browser of Debian's, headless, with a profile of its own.  What its pages did
// wrong is in browser.failures.
export async function launch(name, { args = [], ignoreDefaultArgs = [] } = {}) {
	const isFirefox = name === 'firefox';
	const browser = await puppeteer.launch({
		browser: isFirefox ? 'firefox' : 'chrome',
		executablePath: isFirefox ? process.env.FIREFOX ?? '/usr/bin/firefox-esr' : process.env.CHROMIUM ?? '/usr/bin/chromium',
		headless: true,
		userDataDir: fs.mkdtempSync(path.join(tmp, `${name}-`)),
		acceptInsecureCerts: true,
		ignoreDefaultArgs,
		args: isFirefox ? args : ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
			'--disable-background-networking', '--disable-component-update', '--disable-sync', ...args],
		...(isFirefox ? { extraPrefsFirefox: { 'network.captive-portal-service.enabled': false,
			'network.connectivity-service.enabled': false } } : {}),
	});
	browser.failures = [];
	atEnd(() => browser.close().catch(() => {}));
	return browser;
}

export async function openPage(browser, url) {
	const page = await browser.newPage();

	// Firefox tells connections that fail in the same place.
	page.on('pageerror', (e) => /^(Firefox can’t establish|Cross-Origin Request Blocked|The connection to)/.test(e.message) ||
		browser.failures.push(e.message));
	await page.goto(url);
	return page;
}

// A site of the tests': `routes` is path -> text, { type, body, headers, status } or a
// function (request, response).  Answers its origin.
export async function site(routes) {
	const s = http.createServer((request, response) => {
		const { pathname } = new URL(request.url, 'http://x');
		const route = routes[pathname] ?? routes['*'];

		if (route === undefined)
			return void response.writeHead(404).end();
		if (typeof route === 'function')
			return void route(request, response);
		const { type = 'text/html; charset=utf-8', body = route, headers = {}, status = 200 } = typeof route === 'string' ? {} : route;
		response.writeHead(status, { 'content-type': type, ...headers }).end(body);
	}).listen(0, '127.0.0.1');

	await once(s, 'listening');
	atEnd(() => { s.closeAllConnections(); s.close(); });
	return Object.assign(s, { origin: `http://127.0.0.1:${s.address().port}` });
}
