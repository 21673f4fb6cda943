// report.mjs - what the runs say: medians, ratios and the table.
import { SERVERS } from './servers.mjs';

export class Results {
	constructor(rows, about) {
		this.rows = rows;
		this.about = about;
		this.runs = [];
	}

	add(record) {
		this.runs.push(record);
	}

	row(name) {
		return this.rows.find((r) => r.name === name);
	}

	// The runs of a row that were measured.
	of(name, server) {
		return this.runs.filter((r) => r.row === name && r.server === server && r.load !== undefined);
	}

	// `get` takes what it wants out of the load generator's JSON.
	median(name, server, get) {
		return middle(this.of(name, server).map((r) => pick(r, get)));
	}

	// Of two servers, or of two rows of one: a quotient for each round, for whatever
	// the machine did at that time hit both; the median of these.
	ratio([name, server], [otherName, other], get, otherGet = get) {
		const rounds = this.of(name, server).map((r) => {
			const twin = this.of(otherName, other).find((t) => t.round === r.round);
			return twin === undefined ? NaN : pick(r, get) / pick(twin, otherGet);
		});

		return middle(rounds);
	}

	// What 99 of 100 in all rounds together stay below; `get` takes buckets.
	p99(name, server, get) {
		const all = this.of(name, server).flatMap((r) => get(r.load)?.buckets ?? [])
			.sort(([a], [b]) => a - b);
		const total = all.reduce((sum, [, n]) => sum + n, 0);
		let seen = 0;

		return all.find(([, n]) => (seen += n) > Math.floor(0.99 * total))?.[0] ?? NaN;
	}

	// Every number of the JSON, by its path.
	medians() {
		const all = {};

		for (const row of this.rows)
			for (const server of row.servers) {
				const flat = this.of(row.name, server).map((r) => numbers(r.load));
				if (flat.length === 0)
					continue;
				all[row.name] ??= {};
				all[row.name][server] = Object.fromEntries(Object.keys(flat[0])
					.map((key) => [key, middle(flat.map((f) => f[key] ?? NaN))]));
			}
		return all;
	}

	head() {
		const { machine: m, versions: v, fsync, date, mode } = this.about;

		return `fanfare ${v.fanfare}, nginx ${v.nginx || 'missing'} with nchan ` +
			`${v.nchan || 'missing'}, Node.js ${v.node} with better-sse ` +
			`${v['better-sse'] || 'missing'}\n` +
			`${m.cpu}, ${m.cores} cores, ${amount(m.memory_bytes)}B, ${m.kernel}, ${m.system}\n` +
			`fdatasync of 4 KB where the log lies (${fsync.filesystem}): ${fsync.p50_us} µs, ` +
			`99% within ${fsync.p99_us} µs\n` +
			`${date.slice(0, 16).replace('T', ' ')} UTC, ${mode} run`;
	}

	// How many cores programs that have nothing to do with this kept busy.
	disturbance() {
		return middle(this.runs.map((r) => r.load?.others_cpu ?? NaN));
	}
}

function pick(record, get) {
	try {
		return get(record.load, record) ?? NaN;
	} catch {
		return NaN;	// not in this JSON
	}
}

function middle(values) {
	const sorted = values.filter((v) => Number.isFinite(v)).sort((a, b) => a - b);
	const half = sorted.length >> 1;

	if (sorted.length === 0)
		return NaN;
	return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function numbers(value, prefix = '', found = {}) {
	for (const [key, v] of Object.entries(value))
		if (typeof v === 'number')
			found[prefix + key] = v;
		else if (v !== null && typeof v === 'object' && !Array.isArray(v))
			numbers(v, `${prefix}${key}.`, found);
	return found;
}

// Three digits, with k, M and G where they help.
export function amount(n) {
	if (!Number.isFinite(n))
		return '-';
	for (const [unit, value] of [['G', 1e9], ['M', 1e6], ['k', 1e3]])
		if (Math.abs(n) >= 9.995 * value / (unit === 'k' ? 1 : 10))
			return `${digits(n / value)}${unit}`;
	return digits(n);
}

export function digits(n) {
	if (!Number.isFinite(n))
		return '-';
	if (n === 0)
		return '0';
	const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(n))));

	return Math.abs(n) >= 100 ? Math.round(n).toLocaleString('en') : n.toFixed(Math.min(places, 3));
}

// A duration from µs.
export function time(us) {
	if (!Number.isFinite(us))
		return '-';
	if (us < 1000)
		return `${digits(us)}us`;
	return us < 1e6 ? `${digits(us / 1e3)}ms` : `${digits(us / 1e6)}s`;
}

const micros = (get) => ({ get: (j) => get(j) / 1000, show: digits });
const times = (get) => ({ get, show: time });
const amounts = (get) => ({ get, show: amount });
const plain = (get) => ({ get, show: digits });

export const perSlow = (j) => (j.rss_max_bytes - j.rss_before_bytes) / j.slow_streams;
// Of what could be delivered before the flood.
export const timesPublished = (j, r) =>
	j.events_per_s * j.streams / j.topics / r.before[0].deliveries_per_s;

// The columns of each scenario; `key` is what servers are compared by.
const COLUMNS = {
	fanout: {
		'us CPU/delivery': { ...micros((j) => j.cpu_ns_per_delivery), key: true },
		'deliveries/s': amounts((j) => j.deliveries_per_s),
		'us CPU/publish': micros((j) => j.cpu_ns_per_publish),
		'p50': times((j) => j.latency_us.p50),
		'p99': times((j) => j.latency_us.p99),
		'max': times((j) => j.latency_us.max),
	},
	publish: {
		'events/s': { ...amounts((j) => j.events_per_s), key: true },
		'us CPU/publish': micros((j) => j.cpu_ns_per_publish),
		'p50': times((j) => j.answer_us.p50),
		'p99': times((j) => j.answer_us.p99),
		'max': times((j) => j.answer_us.max),
	},
	connect: {
		'connects/s': { ...amounts((j) => j.connects_per_s), key: true },
		'us CPU/connect': micros((j) => j.cpu_ns_per_connect),
		'p50': times((j) => j.connect_us.p50),
		'p99': times((j) => j.connect_us.p99),
		'max': times((j) => j.connect_us.max),
	},
	idle: {
		'resident/stream': { ...amounts((j) => j.rss_per_stream), key: true },
		'kernel/stream': amounts((j) => j.kernel_per_stream),
		'resident': amounts((j) => j.rss_bytes),
		'% CPU': { get: (j) => j.idle_cpu * 100, show: digits },
	},
	storm: {
		's to catch up': { ...plain((j) => j.caught_up_s), key: true },
		's plainly': plain((j) => j.plain_seconds),
		'x plainly': plain((j) => j.caught_up_s / j.plain_seconds),
		'bytes': amounts((j) => j.storm_bytes),
		'answers': plain((j) => j.answer_storm_us.n),
		'answer p99': times((j) => j.answer_storm_us.p99),
		'in quiet': times((j) => j.answer_quiet_us.p99),
		'x quiet': plain((j) => j.answer_storm_us.p99 / j.answer_quiet_us.p99),
	},
	slow: {
		'p99': { ...times((j) => j.latency_us.p99), key: true },
		'p50': times((j) => j.latency_us.p50),
		'max': times((j) => j.latency_us.max),
		'us CPU/delivery': micros((j) => j.cpu_ns_per_delivery),
		'resident/slow': amounts(perSlow),
		'sockets/slow': amounts((j) => (j.tcp_max_bytes - j.tcp_before_bytes) / j.slow_streams),
		's slow catch up': plain((j) => j.slow_streams > 0 ? j.slow_caught_up_s : NaN),
	},
	flood: {
		'deliveries/s': { ...amounts((j) => j.deliveries_per_s), key: true },
		'before': amounts((j, r) => r.before[0].deliveries_per_s),
		'worst second': amounts((j) => j.deliveries_per_s_least),
		'x published': plain(timesPublished),
		'resident': amounts((j) => j.rss_before_bytes),
		'at most': amounts((j) => j.rss_max_bytes),
		's to recover': plain((j) => j.recovered ? j.recovered_s : Infinity),
	},
};

// Beside those of every scenario.
const WRONG = ['lost', 'repeated', 'corrupt', 'gaps', 'closed', 'late', 'refused', 'failed'];

// How often each of them happened in one run of the load generator.
function wrongs(json) {
	const failed = Object.values(json.failed_publishes ?? {}).reduce((sum, n) => sum + n, 0);

	return WRONG.map((what) => [what, what === 'failed' ? failed : json[what] ?? 0])
		.filter(([, n]) => n > 0);
}

// Who is flooded may refuse publishes and end streams, and who does not read may be ended.
function excused({ scenario, slow_streams }) {
	if (scenario === 'flood')
		return ['failed', 'late', 'closed'];
	return scenario === 'slow' && slow_streams > 0 ? ['closed'] : [];
}

// What must not happen, in words.
export function faults(record) {
	if (record.error !== undefined)
		return [record.error];
	return [...record.before, record.load].flatMap((json) => [
		...wrongs(json).filter(([what]) => !excused(json).includes(what))
			.map(([what, n]) => `${n} ${what}`),
		...json.caught_up === false ? ['not all caught up'] : []]);
}

// A run in which the load generator was as busy as a core can be.
const isLoadBound = (runs) => runs.some((r) => r.load.client_cpu > 0.95);

function troubles(runs) {
	const sums = new Map();

	for (const json of runs.flatMap((r) => [...r.before, r.load]))
		for (const [what, n] of wrongs(json))
			sums.set(what, (sums.get(what) ?? 0) + n);
	return [...sums].map(([what, n]) => `${amount(n)} ${what}`).join(', ') || 'none';
}

// Whom the others are compared with; the floor is about sending.
const comparedWith = (row) => (row.scenario === 'fanout' ? ['floor', 'nchan'] : ['nchan'])
	.filter((server) => row.servers.includes(server) && row.servers.length > 1);

function lineOf(results, row, server) {
	const columns = COLUMNS[row.scenario];
	const runs = results.of(row.name, server);
	const key = Object.values(columns).find((c) => c.key);
	const against = (other) => other === server ? ''
		: digits(results.ratio([row.name, server], [row.name, other], key.get));

	if (runs.length === 0)
		return null;
	return [`  ${SERVERS[server].label}${isLoadBound(runs) ? ' *' : ''}`,
		...Object.values(columns).map((c) => c.show(results.median(row.name, server, c.get))),
		...comparedWith(row).map(against),
		troubles(runs)];
}

function rowTable(results, row) {
	const columns = COLUMNS[row.scenario];
	const heads = ['', ...Object.keys(columns),
		...comparedWith(row).map((other) => `/ ${other}`),
		'lost'];
	const lines = row.servers.map((server) => lineOf(results, row, server))
		.filter((line) => line !== null);

	if (lines.length === 0)
		return '';
	const widths = heads.map((h, i) => Math.max(h.length, ...lines.map((l) => l[i].length)));
	const show = (cells) => cells.map((c, i) => i === 0 || i === cells.length - 1
		? c.padEnd(i === 0 ? 16 : 0) : c.padStart(widths[i])).join('  ').trimEnd();
	return `(${row.letter}) ${row.title}  [${row.name}]\n${show(heads)}\n` +
		`${lines.map(show).join('\n')}\n`;
}

// The whole report; `goalLines` say what held.
export function table(results, goalLines) {
	const rows = results.rows.map((row) => rowTable(results, row)).filter((t) => t !== '');

	return `${results.head()}\n\n${rows.join('\n')}\n` +
		'Medians over the rounds; "/ floor" and "/ nchan" are medians of each round\'s ratio of\n' +
		'the first column.  us: microseconds of the server\'s CPU, or from publishing an event\n' +
		'until a stream has read it.  * the load generator was as busy as one core can be.\n' +
		'lost: also streams refused or closed by the server, publishes that failed, and what\n' +
		'came late, of a publish that had failed.\n' +
		`Other programs took ${digits(results.disturbance())} of ` +
		`${results.about.machine.cores} cores meanwhile.\n\n` +
		`Goals\n${goalLines.join('\n')}\n`;
}

// One run in a few words.
export function headline(record, row) {
	if (record.load === undefined)
		return 'failed';
	return Object.entries(COLUMNS[row.scenario]).slice(0, 2)
		.map(([name, c]) => `${c.show(pick(record, c.get))} ${name}`).join(', ');
}
