// scenarios.mjs - what is measured: one row a table of the report.
//
//   letter, name, title   what --only takes, and the report's heading
//   scenario, options     of the load generator; `seconds` comes from the mode
//   servers               who takes part, in this order in every round
//   modes                 which of smoke, quick, default and full have the row
//   rounds                at most so many
//   seconds               in place of the mode's
//   conf                  options of fanfare beside the usual ones
//   also                  options for one server only (null takes one away)
//   before                scenarios run before the measured one, on the same server
//   tokens                as many ES256 tokens; topics are then not public
//   nchanBuffer           messages that nchan keeps per channel
//
// Any value may be an object by mode, { smoke: 200, default: 5000 }: `default` stands
// for the modes that are not named.
export const MODES = {
	smoke: { rounds: 1, seconds: 0.5 },
	quick: { rounds: 1, seconds: 2 },
	default: { rounds: 3, seconds: 3 },
	full: { rounds: 5, seconds: 8 },
};

const ALL = ['fanfare', 'nchan', 'floor', 'node', 'better-sse'];
const EVERY = ['smoke', 'quick', 'default', 'full'];
const LONG = ['default', 'full'];
const SMOKE = 200;

const streams = (n) => ({ smoke: Math.min(n, SMOKE), default: n });
const size = (n) => ({ smoke: Math.min(n, 2 * SMOKE), default: n });
// Smoke tests the benchmark: fanfare always, the others where it is about them.
const who = (...servers) => ({ smoke: ['fanfare'], default: servers });

// (a) one at a time, and (b) many under way
function fanout(letter, name, title, n, inFlight, extra) {
	return {
		letter, name, title, scenario: 'fanout', servers: who(...ALL), modes: EVERY,
		...extra,
		options: { streams: streams(n), topics: 1, size: 100, 'in-flight': inFlight,
			...extra?.options },
	};
}

// (c) everybody has a topic
function notifications(n, inFlight, extra) {
	return {
		letter: 'c', name: `own-topic-${n}-${inFlight}`,
		title: `${count(n)} streams, each with its topic, ${underWay(inFlight)}`,
		scenario: 'fanout', servers: who('fanfare', 'nchan', 'floor', 'node'), modes: EVERY,
		options: { streams: streams(n), topics: streams(n), size: 100,
			'in-flight': inFlight },
		...extra,
	};
}

// (f) durable publishes
function publish(connections, batch, extra) {
	return {
		letter: 'f', name: batch > 1 ? `publish-${connections}x${batch}` : `publish-${connections}`,
		title: batch > 1 ? `publishing batches of ${batch} over ${connections} connections`
			: `publishing over ${connections} connection${connections > 1 ? 's' : ''}`,
		scenario: 'publish', servers: who('fanfare', 'nchan', 'node'), modes: EVERY,
		...extra,
		options: { topics: { smoke: SMOKE, default: 10000 }, size: 100,
			'in-flight': connections, ...batch > 1 ? { batch } : {}, ...extra?.options },
	};
}

// (g) all drop, all come back
function storm(name, title, extra) {
	return {
		letter: 'g', name, title, scenario: 'storm', servers: ['fanfare'], modes: EVERY,
		rounds: { full: 3, default: 1 },
		...extra,
		options: { streams: streams(10000), topics: size(100), size: 100,
			missed: { smoke: 20, default: 100 }, rate: 100, timeout: 120, ...extra?.options },
		conf: { 'stream.max_replay': '100000000', ...extra?.conf },
	};
}

// (i) some never read
function slow(percent, extra) {
	return {
		letter: 'i', name: `slow-${percent}`,
		title: `${percent || 'no'} percent slow readers, 5,000 streams, 200 events/s of 1 KB`,
		scenario: 'slow', servers: ['fanfare'], modes: ['smoke', 'default', 'full'], rounds: 1,
		seconds: { smoke: 2, default: 15, full: 60 },
		options: { streams: streams(5000), topics: 10, size: 1024, rate: 200, slow: percent,
			timeout: 120 },
		conf: { 'stream.stall': '1h', 'stream.max_replay': '100000000' },
		nchanBuffer: 100000,
		...extra,
	};
}

// (k) with so many events stored; then publishing, and resuming from the disk
function growth(events, modes) {
	const before = [{ scenario: 'fill', options: { events, topics: size(10000), size: 100,
		batch: 1000, timeout: 600 } }];
	const conf = { 'store.retain_bytes': '0', 'store.retain_age': '0', 'store.tail': '64k',
		'stream.max_replay': '100000000' };
	const shared = { letter: 'k', modes, rounds: 1, before, conf, servers: ['fanfare'] };
	const stored = typeof events === 'number' ? events : events.default;

	return [{
		...shared, name: `grown-publish-${short(stored)}`,
		title: `publishing with ${count(stored)} events stored`, scenario: 'publish',
		options: { topics: size(10000), size: 100, 'in-flight': 64 },
	}, {
		...shared, name: `grown-resume-${short(stored)}`,
		title: `1,000 streams resume with ${count(stored)} events stored`, scenario: 'storm',
		options: { streams: streams(1000), topics: size(100), size: 100,
			missed: { smoke: 20, default: 100 }, rate: 100, timeout: 120 },
	}];
}

const sizes = [100, 1024, 16384];

export const ROWS = [
	fanout('a', 'one-1000', 'one event at a time to 1,000 streams', 1000, 1,
		{ servers: who('fanfare', 'nchan', 'floor') }),
	fanout('a', 'one-5000', 'one event at a time to 5,000 streams', 5000, 1,
		{ servers: ALL }),
	fanout('a', 'one-15000', 'one event at a time to 15,000 streams', 15000, 1,
		{ servers: who('fanfare', 'nchan', 'floor') }),

	fanout('b', 'many-16', '16 publishes under way to 5,000 streams', 5000, 16),
	fanout('b', 'many-64', '64 publishes under way to 5,000 streams', 5000, 64,
		{ servers: who('fanfare', 'nchan'), modes: ['smoke', ...LONG] }),

	notifications(1000, 1, { servers: who('fanfare', 'nchan', 'floor') }),
	notifications(10000, 1),
	notifications(10000, 32),

	{
		letter: 'd', name: 'topics-20', title: '1,000 streams with 20 topics each',
		scenario: 'fanout', servers: who('fanfare', 'nchan', 'node'), modes: ['smoke', ...LONG],
		options: { streams: streams(1000), topics: size(1000), 'per-stream': 20, size: 100,
			'in-flight': 16 },
	}, {
		letter: 'd', name: 'patterns', title: '1,000 streams with patterns over 20 topics each',
		scenario: 'fanout', servers: ['fanfare'], modes: ['smoke', ...LONG],
		options: { streams: streams(1000), topics: size(1000), 'per-stream': 20, size: 100,
			'in-flight': 16, patterns: true },
	},
	// Every event reaches 100 streams, whatever the number of topics.
	...[[10, 1000, 1], [100, 10000, 1], [10000, 10000, 100]].map(([topics, n, each]) => ({
		letter: 'd', name: `topics-of-${topics}`,
		title: `100 streams per event, ${count(topics)} topics (${count(n)} streams with ${each})`,
		scenario: 'fanout', servers: who('fanfare', 'floor'), modes: EVERY,
		options: { streams: streams(n), topics: size(topics), 'per-stream': each, size: 100,
			'in-flight': 16 },
	})),

	...[1000, 15000].map((n) => ({
		letter: 'e', name: `idle-${n}`, title: `${count(n)} idle streams`, scenario: 'idle',
		servers: n === 15000 ? who(...ALL) : who('fanfare', 'nchan'),
		modes: n === 15000 ? EVERY : ['smoke', ...LONG], rounds: { full: 3, default: 1 },
		options: { streams: streams(n), topics: 1 },
	})),

	...[1, 8, 64, 256].map((connections) => publish(connections, 1,
		{ modes: connections < 64 ? ['smoke', ...LONG] : EVERY })),
	// Retention at work: more is stored before than is kept.
	publish(8, 100, {
		servers: ['fanfare'], conf: { 'store.retain_bytes': '16M' },
		before: [{ scenario: 'fill', options: { events: { smoke: 20000, default: 400000 },
			topics: size(10000), size: 100, batch: 1000 } }],
	}),

	storm('storm-tail', '10,000 streams come back 100 events behind, from memory',
		{ servers: { smoke: ['fanfare'], quick: ['fanfare'], default: ['fanfare', 'nchan'] } }),
	storm('storm-disk', '10,000 streams come back 100 events behind, from SQLite',
		{ modes: ['smoke', ...LONG], conf: { 'store.tail': '64k' } }),
	storm('storm-quiet', '10,000 streams come back, nothing missed',
		{ modes: ['smoke', ...LONG], options: { topics: size(10000), missed: 0 } }),
	storm('storm-es256', '10,000 streams come back with ES256 tokens, nothing missed',
		{ tokens: { smoke: 200, default: 10000 }, options: { topics: size(10000), missed: 0 } }),

	{
		letter: 'h', name: 'connect', title: '10,000 connections', scenario: 'connect',
		servers: { smoke: ALL, default: ALL }, modes: EVERY,
		options: { streams: streams(10000), topics: 1 },
	},

	slow(0),
	slow(5, { servers: { smoke: ['fanfare'], default: ['fanfare'], full: ['fanfare', 'nchan'] } }),

	...sizes.map((bytes) => fanout('j', `size-${bytes}`,
		`events of ${count(bytes)} bytes to 5,000 streams, 16 under way`, 5000, 16, {
			servers: who('fanfare', 'nchan', 'floor'),
			modes: bytes === 100 ? ['full'] : ['smoke', ...LONG],
			rounds: { full: 3, default: 1 }, options: { size: bytes },
		})),

	...growth({ smoke: 2000, default: 10000 }, ['smoke', ...LONG]),
	...growth(1000000, LONG),
	...growth(10000000, ['full']),

	{
		letter: 'l', name: 'flood', title: 'three times more published than can be delivered',
		scenario: 'flood', servers: ['fanfare'], modes: ['smoke', 'default', 'full'], rounds: 1,
		seconds: { smoke: 2, default: 15, full: 60 },
		options: { streams: streams(1000), topics: 10, size: 1024, 'in-flight': 64, timeout: 120 },
		conf: { 'stream.max_replay': '100000000' },
	},
];

export function count(n) {
	return n.toLocaleString('en');
}

function short(n) {
	return n >= 1e6 ? `${n / 1e6}M` : `${n / 1e3}k`;
}

function underWay(n) {
	return n === 1 ? 'one at a time' : `${n} under way`;
}

function inMode(value, mode) {
	if (value === null || typeof value !== 'object' || Array.isArray(value))
		return value;
	if (value[mode] !== undefined || value.default !== undefined)
		return value[mode] ?? value.default;
	return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, inMode(v, mode)]));
}

// The rows of a mode, or those that `only` names by letter or name, with every value
// settled.  What is named is run even where the mode would leave it out.
export function rowsOf(mode, only, rounds) {
	const wanted = (row) => only === null ? row.modes.includes(mode)
		: only.some((o) => o === row.letter || o === row.name);

	return ROWS.filter(wanted).map((row) => {
		const settled = { ...row, servers: inMode(row.servers, mode),
			options: inMode(row.options, mode), conf: row.conf ?? {},
			tokens: inMode(row.tokens, mode) ?? 0,
			rounds: rounds ?? Math.min(MODES[mode].rounds, inMode(row.rounds, mode) ?? Infinity),
			before: (row.before ?? []).map((b) => ({ ...b, options: inMode(b.options, mode) })) };
		if (['fanout', 'publish', 'slow', 'flood'].includes(row.scenario))
			settled.options.seconds = inMode(row.seconds, mode) ?? MODES[mode].seconds;
		return settled;
	});
}
