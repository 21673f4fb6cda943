// machine.mjs - what the numbers were measured on.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { nginxProgram } from './servers.mjs';

const PEER = new URL('peers/node_modules/better-sse/package.json', import.meta.url);

function said(command, ...args) {
	const r = spawnSync(command, args, { encoding: 'utf8' });

	return r.error ? '' : `${r.stdout}${r.stderr}`.trim();
}

function read(file) {
	try {
		return fs.readFileSync(file, 'utf8');
	} catch {
		return '';
	}
}

export function machine() {
	return {
		cpu: os.cpus()[0].model.trim(),
		cores: os.cpus().length,
		memory_bytes: os.totalmem(),
		kernel: `${os.type()} ${os.release()} ${os.machine()}`,
		system: /^PRETTY_NAME="?([^"\n]*)/m.exec(read('/etc/os-release'))?.[1] ?? '',
		descriptors: descriptors(),
	};
}

export function versions(build) {
	return {
		fanfare: said(path.join(build, 'fanfare'), 'version').replace(/^fanfare /, ''),
		nginx: /nginx\/(\S+)/.exec(said(nginxProgram(), '-v'))?.[1] ?? '',
		nchan: said('dpkg-query', '-W', '-f', '${Version}', 'libnginx-mod-nchan')
			.split('\n')[0],
		node: process.version,
		'better-sse': /"version": *"([^"]*)"/.exec(read(PEER))?.[1] ?? '',
	};
}

// How many a server may open: the hard limit, which servers raise theirs to.
export function descriptors() {
	const limit = said('/bin/sh', '-c', 'ulimit -H -n');

	return limit === 'unlimited' ? Infinity : Number(limit);
}

// CPU seconds so far: of the whole machine, and of this process' children that are gone
// together with `pids`.  What lies between is what other programs took.
export function cpuSpent(pids) {
	const ticks = (file, ...fields) => {
		const words = read(file).replace(/^.*\) /s, '').trim().split(/\s+/);
		return fields.reduce((sum, i) => sum + Number(words[i] ?? 0), 0) / 100;
	};
	// "cpu" user nice system idle iowait irq softirq steal; behind the name of a
	// process its state is word 0, utime 11, stime 12, those of children 13 and 14
	const all = ticks('/proc/stat', 1, 2, 3, 6, 7, 8);
	const own = pids.reduce((sum, pid) => sum + ticks(`/proc/${pid}/stat`, 11, 12),
		ticks('/proc/self/stat', 11, 12, 13, 14));

	return all - own;
}

// What every durable commit waits for on the disk under `dir`: writing 4 KB and
// fdatasync, the median of many.
export function fsyncCost(dir) {
	const file = path.join(dir, 'fsync');
	const page = Buffer.alloc(4096, 'x');
	const fd = fs.openSync(file, 'w');
	const took = [];

	for (let i = 0; i < 300; i++) {
		const began = process.hrtime.bigint();
		fs.writeSync(fd, page, 0, page.length, i % 64 * page.length);
		fs.fdatasyncSync(fd);
		took.push(Number(process.hrtime.bigint() - began) / 1000);
	}
	fs.closeSync(fd);
	fs.unlinkSync(file);
	took.sort((a, b) => a - b);
	return { p50_us: Math.round(took[150]), p99_us: Math.round(took[297]),
		filesystem: said('stat', '-f', '-c', '%T', dir) };
}
