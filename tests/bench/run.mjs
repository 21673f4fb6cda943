#!/usr/bin/env node
// run.mjs - runs the scenarios on fanfare and its peers in turn, and reports.
//
// Rounds are interleaved: every server of a row runs right after the other, and the
// whole list again, so that whatever else the machine does hits all of them.  A run of
// fanfare that loses, repeats or corrupts one event, or turns a publish or a stream away,
// fails the benchmark; what a peer loses is reported.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { goalLines, goals } from './goals.mjs';
import { cpuSpent, descriptors, fsyncCost, machine, versions } from './machine.mjs';
import { picture } from './picture.mjs';
import { faults, headline, Results, table } from './report.mjs';
import { MODES, ROWS, rowsOf } from './scenarios.mjs';
import { children, Failure, lastLines, SERVERS, startChild, startServer, stopChild, stopServer,
	whatIsMissing } from './servers.mjs';
import { mint } from './tokens.mjs';

const HELP = `usage: run.mjs [options]
Measures fanfare beside nginx+nchan, two Node servers and the floor (a program that only
sends), and says which goals hold.  Without options: a quarter of an hour.

  --quick          the goals in small, one round: about three minutes
  --full           everything, ten million stored events too: hours
  --smoke          does the benchmark itself work?  Less than a minute, no report;
                   the last line is "N passed, N failed"
  --only LIST      only these scenarios, by letter or name: --only a,h,storm-disk
  --servers LIST   only these servers: fanfare, nchan, floor, node, better-sse
  --rounds N       how often everything is measured; medians are reported
  --list           name the scenarios, and who takes part in each, and end
  --build DIR      where fanfare, tests/bench/load and tests/bench/floor were built
                   (build/run, else build, in the project)
  --out DIR        where results.json, table.txt, bench.svg and the servers' data go
                   (build/bench in the project)

Exit status: 1 when fanfare lost, repeated, corrupted or refused anything or could not
be measured, else 0; goals that are missed are reported only.
`;

const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
let stopping = false;

function options() {
	let v;

	try {
		v = parseArgs({ options: {
			quick: { type: 'boolean' }, full: { type: 'boolean' },
			smoke: { type: 'boolean' }, only: { type: 'string' },
			servers: { type: 'string' }, rounds: { type: 'string' },
			list: { type: 'boolean' }, build: { type: 'string' },
			out: { type: 'string', default: path.join(top, 'build/bench') },
			help: { type: 'boolean', short: 'h' },
		} }).values;
	} catch (e) {
		usage(e.message);
	}
	if (v.help) {
		process.stdout.write(HELP);
		process.exit(0);
	}
	const modes = ['quick', 'full', 'smoke'].filter((m) => v[m]);
	if (modes.length > 1)
		usage(`--${modes[0]} and --${modes[1]} exclude each other`);
	if (v.rounds !== undefined && !/^[1-9]\d?$/.test(v.rounds))
		usage(`--rounds wants a number from 1 to 99, not "${v.rounds}"`);
	const list = (text, known, what) => {
		const names = text?.split(',').filter((n) => n !== '') ?? null;
		for (const name of names ?? [])
			if (!known.includes(name))
				usage(`there is no ${what} "${name}" (--list names them)`);
		return names;
	};
	const build = v.build ?? [path.join(top, 'build/run'), path.join(top, 'build')]
		.find((dir) => fs.existsSync(path.join(dir, 'tests/bench/load')))
		?? path.join(top, 'build');
	return {
		mode: modes[0] ?? 'default', list: v.list, build: path.resolve(build),
		out: path.resolve(v.out), rounds: v.rounds && Number(v.rounds),
		only: list(v.only, ROWS.flatMap((r) => [r.letter, r.name]), 'scenario'),
		servers: list(v.servers, Object.keys(SERVERS), 'server') ?? Object.keys(SERVERS),
	};
}

function usage(message) {
	process.stderr.write(`run.mjs: ${message}\n${HELP}`);
	process.exit(2);
}

function say(text) {
	process.stdout.write(`${text}\n`);
}

function listRows({ mode }) {
	for (const row of rowsOf(mode, ROWS.map((r) => r.name)))
		say(`${row.letter}  ${row.name.padEnd(22)} ${row.title}: ${row.servers.join(', ')}` +
			(row.modes.includes('default') ? '' : `  (${row.modes.join(', ')})`));
}

// Which runs, in which order.
function plan(o) {
	const missing = new Map(o.servers.map((s) => [s, whatIsMissing(s, o.build)])
		.filter(([, why]) => why !== null));

	if (missing.has('fanfare'))
		throw new Failure(`${missing.get('fanfare')}: build first (contrib/bench does)`);
	for (const [server, why] of missing)
		say(`Without ${SERVERS[server].label}: ${why}`);
	const most = descriptors();
	const jobs = [];
	const rows = rowsOf(o.mode, o.only, o.rounds).filter((row) => {
		// fanfare keeps an eighth of the descriptors for requests.
		const needed = Math.ceil(((row.options.streams ?? 0) + 100) * 8 / 7);
		if (needed > most)
			say(`Without ${row.name}: it takes ${needed} descriptors, and ulimit -H -n says ${most}`);
		return needed <= most;
	});
	for (let round = 1; round <= Math.max(...rows.map((r) => r.rounds)); round++)
		for (const row of rows.filter((r) => r.rounds >= round))
			for (const server of row.servers)
				if (o.servers.includes(server) && !missing.has(server))
					jobs.push({ row, server, round });
	if (jobs.length === 0)
		throw new Failure('nothing is left to measure');
	return jobs;
}

// Seconds that a run will take, at first a guess from what it does.
class Clock {
	constructor(jobs) {
		this.left = [...jobs];
		this.known = new Map();
		this.guessed = 0;
		this.spent = 0;
	}

	static guess({ row }) {
		const o = row.options;
		const stored = row.before.reduce((n, b) => n + (b.options.events ?? 0), 0);
		const rounds = { storm: 4, idle: 2, slow: 2, flood: 2 }[row.scenario] ?? 1;

		return 2 + rounds * (o.streams ?? 0) / 4000 + (o.seconds ?? 1) + stored / 60000 +
			(o.missed ?? 0) * (o.streams ?? 0) / 200000;
	}

	took(job, seconds) {
		this.left.splice(this.left.indexOf(job), 1);
		this.known.set(job.row.name + job.server, seconds);
		this.guessed += Clock.guess(job);
		this.spent += seconds;
	}

	seconds() {
		const factor = this.guessed > 0 ? this.spent / this.guessed : 1;

		return this.left.reduce((sum, job) => sum + (this.known.get(job.row.name + job.server)
			?? Clock.guess(job) * factor), 0);
	}

	toString() {
		const s = this.seconds();

		return s > 90 ? `${Math.round(s / 60)} min left` : `${Math.round(s)} s left`;
	}
}

function loadArguments(scenario, settings, run, server) {
	const args = [scenario, '--port', run.port, '--pids', run.pids.join(','),
		...SERVERS[server].load(run)];

	for (const [name, value] of Object.entries(settings)) {
		if (value === true)
			args.push(`--${name}`);
		else if (value !== null && value !== false)
			args.push(`--${name}`, value);
	}
	return args;
}

// One scenario of the load generator; returns its JSON.
async function load(o, run, server, scenario, settings) {
	const args = loadArguments(scenario, settings, run, server);
	const log = path.join(run.dir, 'load.log');
	const fd = fs.openSync(log, 'a');
	const child = startChild([path.join(o.build, 'tests/bench/load'), ...args],
		{ stdio: ['ignore', 'pipe', fd] });
	const others = cpuSpent(run.pids);
	const began = Date.now();
	const patience_s = 120 + 10 * (settings.seconds ?? 0) + 2 * (settings.timeout ?? 30);
	let late = false;
	const last = setTimeout(() => { late = child.kill('SIGKILL'); }, patience_s * 1000);
	let text = '';

	fs.closeSync(fd);
	child.stdout.setEncoding('utf8').on('data', (chunk) => { text += chunk; });
	const { code, signal, error } = await child.ended;
	clearTimeout(last);
	const shown = `load ${args.join(' ').replace(/--key \S+/, '--key KEY')}`;
	if (code !== 0) {
		const said = fs.readFileSync(log, 'utf8').trim().split('\n').at(-1);
		throw new Failure(`${shown}: ${error?.message ?? (late ? `no end after ${patience_s} s`
			: signal ? `ended by ${signal}, from somewhere else` : said)}`);
	}
	try {
		const others_cpu = (cpuSpent(run.pids) - others) * 1000 / (Date.now() - began);
		return { ...JSON.parse(text), others_cpu };
	} catch (e) {
		throw new Failure(`${shown}: its answer is no JSON: ${e.message}`);
	}
}

// Start the server, measure, stop it: one record of the results.
async function measure(o, job, scratch) {
	const { row, server } = job;
	const run = { build: o.build, dir: path.join(scratch, `${row.name}-${server}-${job.round}`),
		conf: { ...row.conf }, nchanBuffer: row.nchanBuffer };
	const record = { row: row.name, server, round: job.round, options: { ...row.options } };
	const began = Date.now();
	const settings = record.options;

	fs.mkdirSync(run.dir, { recursive: true });
	try {
		if (row.tokens > 0) {
			const files = mint(run.dir, row.tokens);
			run.conf['auth.key_file'] = files.key;
			run.conf['topics.public'] = null;
			settings.tokens = files.tokens;
		}
		await startServer(server, run);
		record.before = [];
		for (const b of row.before)
			record.before.push(await load(o, run, server, b.scenario, b.options));
		for (const [name, value] of Object.entries(settings))
			if (typeof value === 'function')
				settings[name] = value(record.before);
		record.load = await load(o, run, server, row.scenario, settings);
		await stopServer(run);
	} catch (e) {
		if (!(e instanceof Failure))
			throw e;
		record.error = e.message;
		if (run.child !== undefined && !stopping) {
			record.server_said = lastLines(run);
			await stopChild(run.child);
		}
	}
	record.took_s = (Date.now() - began) / 1000;
	record.faults = faults(record);
	if (record.error === undefined || stopping)
		fs.rmSync(run.dir, { recursive: true, force: true });
	return record;
}

async function runAll(o, jobs, results, scratch) {
	const clock = new Clock(jobs);
	const next = jobs.entries();
	let round = 0;

	// One after the other, or they would disturb each other's numbers; but smoke is
	// not about numbers.
	async function lane() {
		for (const [i, job] of next) {
			if (job.round !== round) {
				round = job.round;
				say(`-- round ${round}; ${clock}`);
			}
			const record = await measure(o, job, scratch);
			if (stopping)
				return;
			results.add(record);
			clock.took(job, record.took_s);
			progress(o, job, record, `${i + 1}/${jobs.length}`, i % 5 === 4 ? `  (${clock})` : '');
		}
	}
	await Promise.all(Array.from({ length: o.mode === 'smoke' ? 3 : 1 }, lane));
}

function progress(o, job, record, nth, left) {
	const bad = record.faults.length === 0 ? '' : `  ** ${record.faults.join(', ')}`;
	const busy = o.mode !== 'smoke' && record.load?.others_cpu > 0.2
		? `  (others: ${record.load.others_cpu.toFixed(1)} cores)` : '';

	say(`${`[${nth}]`.padStart(9)} ${job.row.letter} ${job.row.name.padEnd(20)} ` +
		`${SERVERS[job.server].label.padEnd(12)} ${record.took_s.toFixed(1).padStart(5)} s  ` +
		`${headline(record, job.row)}${bad}${busy}${left}`);
}

function write(o, results, verdicts, text) {
	fs.writeFileSync(path.join(o.out, 'results.json'),
		`${JSON.stringify({ ...results.about, goals: verdicts, medians: results.medians(),
			runs: results.runs }, null, 1)}\n`);
	fs.writeFileSync(path.join(o.out, 'table.txt'), text);
	const drawn = picture(results);
	fs.rmSync(path.join(o.out, 'bench.svg'), { force: true });
	if (drawn !== null)
		fs.writeFileSync(path.join(o.out, 'bench.svg'), drawn);
	return ['table.txt', 'results.json', ...drawn === null ? [] : ['bench.svg']];
}

// Fanfare must not do anything wrong; a peer only has to be measurable.
function failed(runs) {
	return runs.filter((r) => r.error !== undefined ||
		(r.server === 'fanfare' && r.faults.length > 0));
}

async function main() {
	const o = options();

	if (o.list)
		return listRows(o);
	const jobs = plan(o);
	const scratch = path.join(o.out, 'scratch');
	fs.rmSync(scratch, { recursive: true, force: true });
	fs.mkdirSync(scratch, { recursive: true });
	const results = new Results([...new Set(jobs.map((j) => j.row))], {
		date: new Date().toISOString(), mode: o.mode, machine: machine(),
		versions: versions(o.build), fsync: fsyncCost(scratch),
	});
	say(`${jobs.length} runs of ${results.rows.length} scenarios into ${o.out}`);
	say(results.head());
	await runAll(o, jobs, results, scratch);
	if (o.mode !== 'smoke' && results.runs.length > 0) {
		const verdicts = goals(results);
		const text = table(results, goalLines(verdicts));
		const files = write(o, results, verdicts, text);
		say(`\n${text}`);
		say(`In ${o.out}: ${files.join(', ')}`);
	}
	const bad = failed(results.runs);
	for (const r of bad)
		say(`FAILED: ${r.row}, ${SERVERS[r.server].label}, round ${r.round}: ${r.faults.join(', ')}` +
			(r.error !== undefined ? ` (what there is: ${scratch}/${r.row}-${r.server}-${r.round})` : ''));
	if (bad.length === 0)
		fs.rmSync(scratch, { recursive: true, force: true });
	if (o.mode === 'smoke')
		say(`${results.runs.length - bad.length} passed, ${bad.length} failed`);
	process.exitCode = stopping ? stopping
		: o.mode === 'smoke' ? Number(bad.length > 0)
		: Number(bad.some((r) => r.server === 'fanfare'));
}

// The terminal sends Ctrl-C to the children too; whoever has not gone then is sent away.
function interrupt(code) {
	if (stopping)
		return;
	stopping = code;
	process.stderr.write('\nrun.mjs: stopping what runs\n');
	for (const child of children)
		void stopChild(child);
}

for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]])
	process.on(signal, () => interrupt(code));
process.stdout.on('error', () => interrupt(1));	// nobody reads any more

main().catch(async (e) => {
	process.stderr.write(`run.mjs: ${e instanceof Failure ? e.message : e.stack}\n`);
	await Promise.all([...children].map((child) => stopChild(child)));
	process.exit(stopping || 1);
});
