// servers.mjs - starts and stops the servers that are measured.
//
// Each runs in a directory of its own, on a loopback port, and is ended by its
// process id.  What a server is called, needs and may be asked stands in one table.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PEERS = path.join(path.dirname(fileURLToPath(import.meta.url)), 'peers');
const START_MS = 30000;
const STOP_MS = 20000;

// Every child that runs: whoever ends the run ends them.
export const children = new Set();

export const SERVERS = {
	fanfare: {
		label: 'fanfare',
		load: (run) => ['--prefix', 'b/', '--key', run.key],
		start: startFanfare,
		ready: (run) => answers(run.port, '/healthz'),
	},
	nchan: {
		label: 'nginx+nchan',
		load: () => ['--prefix', 'b', '--join', ','],
		start: startNginx,
		ready: (run) => connects(run.port) && pidsOf(run.child.pid).length > os.cpus().length,
	},
	floor: {
		label: 'floor',
		load: () => ['--prefix', 'b'],
		start: (run) => [path.join(run.build, 'tests/bench/floor'), '--port', run.port],
		ready: (run) => connects(run.port),
	},
	node: {
		label: 'Node by hand',
		load: () => ['--prefix', 'b'],
		start: (run) => [process.execPath, path.join(PEERS, 'node.mjs'), run.port],
		ready: (run) => connects(run.port),
	},
	'better-sse': {
		label: 'better-sse',
		load: () => ['--prefix', 'b'],
		start: (run) => [process.execPath, path.join(PEERS, 'better-sse.mjs'), run.port],
		ready: (run) => connects(run.port),
	},
};

export class Failure extends Error {}

// Not what this process was told: a server reads its own settings from there.
const environment = Object.fromEntries(Object.entries(process.env)
	.filter(([name]) => name !== 'PORT' && !name.startsWith('FANFARE_')));

function startFanfare(run) {
	const keys = path.join(run.dir, 'api-keys');
	const conf = {
		'server.listen': `127.0.0.1:${run.port}`,
		'server.admin_listen': 'off',
		'server.drain_time': '1s',
		'store.path': path.join(run.dir, 'fanfare.db'),
		'auth.api_keys_file': keys,
		'topics.public': '**',
		'log.level': 'warn',
		...run.conf,
	};

	run.key = `ffk_${randomBytes(32).toString('base64url')}`;
	fs.writeFileSync(keys, `bench:${run.key}\n`, { mode: 0o600 });
	return [path.join(run.build, 'fanfare'), 'serve', ...Object.entries(conf)
		.filter(([, value]) => value !== null)
		.map(([name, value]) => `--${name}=${value}`)];
}

function startNginx(run) {
	const fill = { PORT: run.port, MODULE: nchanModule(), CONNECTIONS: 20000,
		BUFFER: run.nchanBuffer ?? 1000 };
	const text = fs.readFileSync(path.join(PEERS, 'nginx.conf'), 'utf8')
		.replace(/@([A-Z]+)@/g, (_, name) => {
			if (fill[name] === undefined)
				throw new Failure(`peers/nginx.conf: nothing is known for @${name}@`);
			return fill[name];
		});

	fs.writeFileSync(path.join(run.dir, 'nginx.conf'), text);
	return [nginxProgram(), '-p', `${run.dir}/`, '-c', 'nginx.conf', '-e', 'error.log'];
}

// /usr/sbin is not on everybody's path.
export function nginxProgram() {
	return ['/usr/sbin/nginx', '/usr/local/sbin/nginx'].find((f) => fs.existsSync(f)) ?? 'nginx';
}

export function nchanModule() {
	const told = /--modules-path=(\S+)/.exec(
		spawnSync(nginxProgram(), ['-V'], { encoding: 'utf8' }).stderr ?? '');

	return path.join(told?.[1] ?? '/usr/lib/nginx/modules', 'ngx_nchan_module.so');
}

// What is missing for this server to run; null when nothing is.
export function whatIsMissing(name, build) {
	const there = (file) => fs.existsSync(file) ? null : `${file} is not there`;

	switch (name) {
	case 'fanfare':
		return there(path.join(build, 'fanfare'));
	case 'floor':
		return there(path.join(build, 'tests/bench/floor'));
	case 'nchan':
		return there(nginxProgram()) ?? there(nchanModule());
	case 'better-sse':
		return there(path.join(PEERS, 'node_modules/better-sse'));
	default:
		return null;
	}
}

function connects(port) {
	return new Promise((resolve) => {
		const socket = net.connect(port, '127.0.0.1');

		socket.on('connect', () => resolve(socket.destroy() && true));
		socket.on('error', () => resolve(false));
	});
}

function answers(port, where) {
	return new Promise((resolve) => {
		const request = http.get({ port, host: '127.0.0.1', path: where, agent: false });

		request.setTimeout(2000, () => request.destroy());
		request.on('response', (r) => resolve(r.resume().statusCode === 200));
		request.on('error', () => resolve(false));
	});
}

// A process and its children, as nginx has them.
export function pidsOf(pid) {
	let below = '';

	try {
		below = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
	} catch {
		// it is gone, or the kernel does not tell
	}
	return [pid, ...below.trim().split(' ').filter((p) => p !== '').map(Number)];
}

// Below the ports that the kernel gives to those who connect.
export async function freePort() {
	for (;;) {
		const port = 15000 + Math.floor(Math.random() * 15000);
		const probe = net.createServer();

		try {
			probe.listen(port, '127.0.0.1');
			await once(probe, 'listening');
			probe.close();
			await once(probe, 'close');
			return port;
		} catch {
			// taken: another
		}
	}
}

// A child with all the descriptors that the system allows; its output in a file or a pipe.
export function startChild(command, options) {
	const child = spawn('/bin/sh', ['-c', 'ulimit -n "$(ulimit -H -n)"; exec "$@"', 'sh',
		...command.map(String)], { env: environment, ...options });

	child.ended = new Promise((resolve) => {
		child.on('error', (e) => resolve({ code: null, signal: null, error: e }));
		child.on('close', (code, signal) => resolve({ code, signal }));
	});
	children.add(child);
	child.ended.then(() => children.delete(child));
	return child;
}

export async function stopChild(child, patience_ms = STOP_MS) {
	const gone = () => child.exitCode !== null || child.signalCode !== null;

	if (gone() || child.pid === undefined)
		return child.ended;
	child.kill('SIGTERM');
	const last = setTimeout(() => child.kill('SIGKILL'), patience_ms);
	const end = await child.ended;
	clearTimeout(last);
	return end;
}

// Start server `name` for `run` (build, dir, conf) and wait until it answers;
// sets run.port, run.child, run.pids.
export async function startServer(name, run) {
	const server = SERVERS[name];

	run.port = await freePort();
	fs.mkdirSync(run.dir, { recursive: true });
	run.log = path.join(run.dir, 'log');
	const log = fs.openSync(run.log, 'w');
	run.child = startChild(server.start(run), { cwd: run.dir, stdio: ['ignore', log, log] });
	fs.closeSync(log);
	for (const end = Date.now() + START_MS; !await server.ready(run); await sleep(20)) {
		if (!children.has(run.child))
			throw new Failure(`it ended at once: ${lastLines(run)}`);
		if (Date.now() > end)
			throw new Failure(`it does not answer after ${START_MS / 1000} s: ${lastLines(run)}`);
	}
	run.pids = pidsOf(run.child.pid);
}

// Why it ended, when it was not us who ended it.
export async function stopServer(run) {
	if (!children.has(run.child)) {
		const { code, signal } = await run.child.ended;
		throw new Failure(`it ended by itself (${signal ?? code}): ${lastLines(run)}`);
	}
	const { code, signal } = await stopChild(run.child);
	if (signal === 'SIGKILL') {
		// It left its own children behind.
		for (const pid of run.pids.slice(1))
			try {
				process.kill(pid, 'SIGKILL');
			} catch {
				// gone
			}
		throw new Failure(`it did not end within ${STOP_MS / 1000} s of SIGTERM`);
	}
	return code;
}

export function lastLines(run) {
	const text = ['log', 'error.log'].map((file) => path.join(run.dir, file))
		.filter((file) => fs.existsSync(file))
		.map((file) => fs.readFileSync(file, 'utf8')).join('');

	return text.trim().split('\n').slice(-3).join(' | ') || 'it said nothing';
}
