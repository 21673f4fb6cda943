// goals.mjs - the numbers to reach, and whether this run reached them.
import { amount, digits, perSlow, timesPublished } from './report.mjs';

const cpu = (j) => j.cpu_ns_per_delivery;
const perPublish = (j) => j.cpu_ns_per_publish;
const p99 = (j) => j.latency_us.p99;

// Each: what is compared, the value, and `most` or `least`.  A value that was not
// measured in this run is NaN.
function list(r) {
	const quotient = (name, other, get) => r.ratio([name, 'fanfare'], [name, other], get);
	const own = (name, get) => r.median(name, 'fanfare', get);
	const storm = (name) => r.p99(name, 'fanfare', (j) => j.answer_storm_us) /
		r.p99(name, 'fanfare', (j) => j.answer_quiet_us);
	const grown = (what, stored, get) => r.ratio([`grown-${what}-${stored}`, 'fanfare'],
		[`grown-${what}-10k`, 'fanfare'], get);

	return [
		{ what: 'CPU per delivery, one at a time, 5,000 streams: / floor',
			value: quotient('one-5000', 'floor', cpu), most: 1.15 },
		{ what: '  / nchan', value: quotient('one-5000', 'nchan', cpu), most: 0.75 },
		{ what: 'deliveries/s, 16 under way, 5,000 streams: / nchan',
			value: quotient('many-16', 'nchan', (j) => j.deliveries_per_s), least: 8 },
		{ what: '  p99 latency / nchan', value: quotient('many-16', 'nchan', p99), most: 1 },
		{ what: 'CPU per publish to one subscriber: 10,000 / 1,000 streams',
			value: r.ratio(['own-topic-10000-1', 'fanfare'], ['own-topic-1000-1', 'fanfare'],
				perPublish), most: 1.2 },
		{ what: '  32 under way / nchan',
			value: quotient('own-topic-10000-32', 'nchan', perPublish), most: 1 },
		{ what: '  one at a time / nchan',
			value: quotient('own-topic-10000-1', 'nchan', perPublish), most: 4 },
		...[['idle-15000', 'resident bytes per idle stream, all of one topic'],
			['idle-own-15000', '  each with a topic of its own'],
			['idle-page-15000', '  as fanfare.js opens it, with three topics'],
		].map(([name, what]) => ({ what, value: own(name, (j) => j.rss_per_stream), most: 1024 })),
		{ what: 'durable publishes/s, 64 connections / nchan in memory',
			value: quotient('publish-64', 'nchan', (j) => j.publishes_per_s), least: 0.75 },
		{ what: '  256 connections',
			value: quotient('publish-256', 'nchan', (j) => j.publishes_per_s), least: 0.75 },
		{ what: 'durable events/s in batches of 100, 10,000 topics, pruning',
			value: own('publish-8x100', (j) => j.events_per_s), least: 80000 },
		...['tail', 'disk'].map((from) => ({
			what: from === 'tail'
				? '10,000 streams come back 100 behind / connecting without a cursor: memory'
				: '  from SQLite',
			value: own(`storm-${from}`, (j) => j.caught_up_s / j.plain_seconds), most: 2 })),
		...[['tail', 'memory'], ['disk', 'SQLite'], ['quiet', 'nothing missed']]
			.map(([name, from]) => ({ what: `  publish p99 meanwhile / quiet: ${from}`,
				value: storm(`storm-${name}`), most: 2 })),
		{ what: 'connections/s / nchan',
			value: quotient('connect', 'nchan', (j) => j.connects_per_s), least: 1 },
		{ what: 'publish p99 while 10,000 ES256 tokens come back / quiet',
			value: storm('storm-es256'), most: 3 },
		{ what: 'CPU per delivery / floor, 1,000 to 15,000 streams: spread around the middle',
			value: spread(['one-1000', 'one-5000', 'one-15000']
				.map((name) => quotient(name, 'floor', cpu))), most: 0.1 },
		{ what: '  10 to 10,000 topics, 100 deliveries each',
			value: spread(['topics-of-10', 'topics-of-100', 'topics-of-10000']
				.map((name) => quotient(name, 'floor', cpu))), most: 0.1 },
		{ what: 'p99 of healthy streams, 5% slow / none slow',
			value: r.ratio(['slow-5', 'fanfare'], ['slow-0', 'fanfare'], p99), most: 1.5 },
		{ what: '  resident bytes of a slow one (stream.queue is 256k)',
			value: own('slow-5', perSlow), most: 262144 },
		...['1M', '10M'].flatMap((stored) => [
			{ what: `CPU per publish with ${stored} events stored / with 10k`,
				value: grown('publish', stored, perPublish), most: 1.2 },
			{ what: '  of coming back from SQLite',
				value: grown('resume', stored, (j) => j.server_cpu_s), most: 1.2 },
		]),
		...[100, 1024].flatMap((bytes) => flood(r, `flood-${bytes}`, bytes)),
	];
}

// What is shared may take its limits, as fanfare-capacity(7) lists them for two threads:
// the tail and its indexes 128 MB, pages 64, publishes that wait 64, mailboxes 32.
function flood(r, name, bytes) {
	const own = (get) => r.median(name, 'fanfare', get);
	const seconds = r.row(name)?.options.seconds;

	return [
		{ what: `flood of ${bytes} bytes for ${seconds} s: published / delivered before`,
			value: own(timesPublished), least: 2.95 },
		{ what: '  deliveries/s in the worst second / before',
			value: own((j, run) => j.deliveries_per_s_least / run.before[0].deliveries_per_s),
			least: 0.5 },
		{ what: '  resident bytes at most', value: own((j) => j.rss_max_bytes), most: 288e6 },
		{ what: '  seconds until all is normal again',
			value: own((j) => j.recovered ? j.recovered_s : 1e6), most: 10 },
	];
}

// Half the distance of the extremes, as a part of their middle.
function spread(values) {
	const low = Math.min(...values);
	const high = Math.max(...values);

	return (high - low) / (high + low);
}

export function goals(results) {
	return list(results).map((g) => {
		const limit = g.most ?? g.least;
		const holds = g.most !== undefined ? g.value <= limit : g.value >= limit;
		const off = g.most !== undefined ? g.value / limit - 1 : 1 - g.value / limit;

		return { ...g, measured: Number.isFinite(g.value), holds,
			verdict: !Number.isFinite(g.value) ? 'not measured'
				: holds ? 'holds' : off >= 10 ? 'misses by far'
				: `misses by ${Math.max(1, Math.round(off * 100))}%` };
	});
}

export function goalLines(verdicts) {
	const shown = (v) => v >= 1000 ? amount(v) : digits(v);

	return verdicts.filter((g) => g.measured).map((g) => `  ${g.what.padEnd(76)} ` +
		`${shown(g.value).padStart(6)}  ${g.most !== undefined ? '<=' : '>='} ` +
		`${shown(g.most ?? g.least).padEnd(6)} ${g.verdict}`);
}
