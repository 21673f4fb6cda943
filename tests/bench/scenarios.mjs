// scenarios.mjs - what is measured: one row a table of the report.
//
//   letter, name, title   what --only takes, and the report's heading
//   scenario, options     of the load generator; `seconds` comes from the mode
//   servers               who takes part, in this order in every round
//   modes                 which of quick, default and full have the row
//   smoke                 who takes part there
//   rounds                at most so many
//   seconds               in place of the mode's
//   conf                  options of fanfare beside the usual ones
//   before                scenarios run before the measured one, on the same server;
//                         an option that is a function takes their results
//   tokens                as many ES256 tokens; topics are then not public
//   nchanBuffer           messages that nchan keeps per channel
//
// Any value may be an object by mode, { smoke: 200, default: 5000 }: `default` stands
// for the modes that are not named.
export const MODES = {
	smoke: { rounds: 1, seconds: 0.3 },
	quick: { rounds: 1, seconds: 1.5 },
	default: { rounds: 3, seconds: 2.5 },
	full: { rounds: 5, seconds: 8 },
};

const ALL = ['fanfare', 'nchan', 'floor', 'node', 'better-sse'];
const EVERY = ['quick', 'default', 'full'];
const LONG = ['default', 'full'];
const ONCE = { full: 3, default: 1 };

const streams = (n) => ({ smoke: Math.min(n, 200), default: n });
const topics = (n) => ({ smoke: Math.min(n, 400), default: n });
const FAR_BEHIND = { 'stream.max_replay': '100000000' };

// (a) one at a time, and (b) many under way
function fanout(letter, name, title, n, inFlight, extra) {
	return {
		letter, name, title, scenario: 'fanout', servers: ['fanfare', 'nchan', 'floor'],
		modes: EVERY, ...extra,
		options: { streams: streams(n), topics: 1, size: 100, 'in-flight': inFlight,
			...extra?.options },
	};
}

// (c) everybody has a topic
function notifications(n, inFlight, extra) {
	return {
		letter: 'c', name: `own-topic-${n}-${inFlight}`,
		title: `${count(n)} streams, each with its topic, ${underWay(inFlight)}`,
		scenario: 'fanout', servers: ['fanfare', 'nchan', 'floor'], modes: EVERY,
		options: { streams: streams(n), topics: streams(n), size: 100,
			'in-flight': inFlight },
		...extra,
	};
}

// (d) streams with several topics
function several(name, title, extra) {
	return {
		letter: 'd', name, title: `1,000 streams with ${title}`, scenario: 'fanout',
		modes: LONG, rounds: ONCE, ...extra,
		options: { streams: streams(1000), topics: topics(1000), 'per-stream': 20, size: 100,
			'in-flight': 16, ...extra.options },
	};
}

// Every event reaches 100 streams, whatever the number of topics.
function manyTopics(n, listeners, each, extra) {
	return {
		letter: 'd', name: `topics-of-${n}`, scenario: 'fanout', servers: ['fanfare', 'floor'],
		title: `100 streams per event, ${count(n)} topics: ${count(listeners)} streams with ${each}`,
		modes: EVERY, ...extra,
		options: { streams: streams(listeners), topics: topics(n), 'per-stream': each,
			size: 100, 'in-flight': 1 },
	};
}

// (e) what it costs to be there
function idle(n, kind, what, extra) {
	return {
		letter: 'e', name: `idle-${kind}${n}`, title: `${count(n)} idle streams, ${what}`,
		scenario: 'idle', rounds: ONCE, ...extra,
		options: { streams: streams(n), topics: 1, ...extra.options },
	};
}

// (f) durable publishes
function publish(connections, batch, extra) {
	return {
		letter: 'f', name: batch > 1 ? `publish-${connections}x${batch}` : `publish-${connections}`,
		title: `publishing ${batch > 1 ? `batches of ${batch} ` : ''}over ` +
			`${connections} connection${connections > 1 ? 's' : ''}`,
		scenario: 'publish', servers: ['fanfare', 'nchan'], modes: EVERY,
		options: { topics: topics(10000), size: 100, 'in-flight': connections,
			...batch > 1 ? { batch } : {} },
		...extra,
	};
}

// (g) all drop, all come back
function storm(name, title, extra) {
	return {
		letter: 'g', name, title: `10,000 streams come back, ${title}`, scenario: 'storm',
		servers: ['fanfare'], smoke: ['fanfare'], modes: EVERY, ...extra,
		options: { streams: streams(10000), topics: topics(100), size: 100,
			missed: { smoke: 20, default: 100 }, rate: 200, timeout: 120, ...extra.options },
		conf: { ...FAR_BEHIND, ...extra.conf },
	};
}

// (i) some never read
function slow(percent, extra) {
	return {
		letter: 'i', name: `slow-${percent}`,
		title: `${percent || 'no'} percent slow readers, 5,000 streams, 200 events/s of 1 KB`,
		scenario: 'slow', servers: ['fanfare'], modes: LONG, rounds: 1,
		seconds: { smoke: 2, default: 30, full: 60 },
		options: { streams: streams(5000), topics: 10, size: 1024, rate: 200, slow: percent,
			timeout: 120 },
		conf: { ...FAR_BEHIND, 'stream.stall': '1h' }, nchanBuffer: 100000,
		...extra,
	};
}

// (k) with so many events stored: publishing, and resuming from the disk
function growth(events, extra) {
	const shared = {
		letter: 'k', rounds: 1, servers: ['fanfare'], ...extra,
		before: [{ scenario: 'fill', options: { events: { smoke: 2000, default: events },
			topics: topics(10000), size: 100, batch: 1000, timeout: 600 } }],
		conf: { ...FAR_BEHIND, 'store.retain_bytes': '0', 'store.retain_age': '0',
			'store.tail': '64k' },
	};

	return [{
		...shared, name: `grown-publish-${short(events)}`,
		title: `publishing with ${count(events)} events stored`, scenario: 'publish',
		options: { topics: topics(10000), size: 100, 'in-flight': 64 },
	}, {
		...shared, name: `grown-resume-${short(events)}`,
		title: `1,000 streams resume with ${count(events)} events stored`, scenario: 'storm',
		options: { streams: streams(1000), topics: topics(100), size: 100,
			missed: { smoke: 20, default: 100 }, rate: 100, timeout: 120 },
	}];
}

// (l) three times more than was delivered a moment before
function flood(bytes, listeners, extra) {
	const options = { streams: streams(listeners), topics: 5, size: bytes, batch: 10,
		'in-flight': 64 };
	const rate = ([capacity]) =>
		Math.round(3 * capacity.deliveries_per_s * capacity.topics / capacity.streams);

	return {
		letter: 'l', name: `flood-${bytes}`,
		title: `three times more published than can be delivered: ${count(bytes)} bytes, ` +
			`${count(listeners)} streams`,
		scenario: 'flood', servers: ['fanfare'], modes: LONG, rounds: 1,
		seconds: { smoke: 1, default: 5, full: 60 },
		conf: { ...FAR_BEHIND, 'store.retain_bytes': '0' },
		before: [{ scenario: 'fanout',
			options: { ...options, seconds: { smoke: 0.5, default: 3 } } }],
		options: { ...options, rate, timeout: { full: 180, default: 120 } },
		...extra,
	};
}

export const ROWS = [
	fanout('a', 'one-1000', 'one event at a time to 1,000 streams', 1000, 1),
	fanout('a', 'one-5000', 'one event at a time to 5,000 streams', 5000, 1,
		{ servers: ALL, smoke: ALL }),
	fanout('a', 'one-15000', 'one event at a time to 15,000 streams', 15000, 1),

	fanout('b', 'many-16', '16 publishes under way to 5,000 streams', 5000, 16,
		{ servers: ALL, smoke: ['fanfare'] }),
	fanout('b', 'many-64', '64 publishes under way to 5,000 streams', 5000, 64,
		{ modes: LONG, rounds: ONCE, servers: ['fanfare', 'nchan'] }),

	notifications(1000, 1, { servers: ['fanfare', 'nchan'] }),
	notifications(10000, 1),
	notifications(10000, 32, { smoke: ['fanfare'] }),

	several('topics-20', '20 topics each',
		{ servers: ['fanfare', 'nchan', 'floor', 'node'], smoke: ['fanfare', 'nchan'] }),
	several('patterns', 'patterns over 20 topics each',
		{ servers: ['fanfare'], smoke: ['fanfare'], options: { patterns: true } }),
	manyTopics(10, 1000, 1),
	manyTopics(100, 10000, 1),
	manyTopics(10000, 10000, 100, { smoke: ['fanfare', 'floor'] }),

	idle(1000, '', 'all of one topic', { servers: ['fanfare', 'nchan'], modes: LONG }),
	idle(15000, '', 'all of one topic', { servers: { quick: ['fanfare', 'nchan'], default: ALL },
		modes: EVERY, smoke: ['fanfare'] }),
	idle(15000, 'own-', 'each with its topic', { servers: ['fanfare', 'nchan'], modes: EVERY,
		options: { topics: streams(15000) } }),
	idle(15000, 'token-', 'each with its topic and token', { servers: ['fanfare'], modes: LONG,
		tokens: streams(15000), options: { topics: streams(15000) } }),
	idle(15000, 'page-', 'each with a token and three topics, as fanfare.js opens them', {
		servers: ['fanfare'], modes: EVERY, smoke: ['fanfare'], tokens: streams(15000),
		options: { topics: { smoke: 600, default: 45000 }, 'per-stream': 3,
			query: 'format=envelope&heartbeat=event&errors=event' },
	}),

	publish(1, 1, { modes: LONG, rounds: ONCE }),
	publish(8, 1, { modes: LONG, rounds: ONCE }),
	publish(64, 1, { smoke: ['fanfare', 'nchan'] }),
	publish(256, 1),
	// Retention at work: more is stored before than is kept.
	publish(8, 100, {
		servers: ['fanfare'], smoke: ['fanfare'], conf: { 'store.retain_bytes': '16M' },
		before: [{ scenario: 'fill', options: { events: { smoke: 20000, default: 400000 },
			topics: topics(10000), size: 100, batch: 1000 } }],
	}),

	storm('storm-tail', '100 events behind, from memory',
		{ servers: { quick: ['fanfare'], default: ['fanfare', 'nchan'] } }),
	storm('storm-disk', '100 events behind, from SQLite',
		{ modes: LONG, conf: { 'store.tail': '64k' } }),
	// An event has one reader, so there can be many while it lasts.
	storm('storm-quiet', 'nothing missed',
		{ modes: LONG, options: { topics: topics(10000), missed: 0, rate: 1000 } }),
	// Each stream connects three times, each time with a token that is new to the server.
	storm('storm-es256', 'nothing missed, with ES256 tokens',
		{ tokens: { smoke: 600, default: 30000 },
			options: { topics: topics(10000), missed: 0, rate: 1000 } }),

	{
		letter: 'h', name: 'connect', title: '10,000 connections', scenario: 'connect',
		servers: ALL, modes: EVERY, smoke: ['fanfare'],
		options: { streams: streams(10000), topics: 1 },
	}, {
		letter: 'h', name: 'connect-es256', title: '10,000 connections, each with an ES256 token',
		scenario: 'connect', servers: ['fanfare'], modes: EVERY, smoke: ['fanfare'],
		tokens: streams(10000), options: { streams: streams(10000), topics: 1 },
	},

	slow(0),
	slow(5, { smoke: ['fanfare'], servers: { full: ['fanfare', 'nchan'], default: ['fanfare'] } }),

	...[100, 1024, 16384].map((bytes) => fanout('j', `size-${bytes}`,
		`events of ${count(bytes)} bytes to 5,000 streams, 16 under way`, 5000, 16, {
			modes: bytes === 100 ? ['full'] : LONG, rounds: ONCE, options: { size: bytes },
			smoke: bytes > 10000 ? ['fanfare'] : undefined,
		})),

	...growth(10000, { modes: LONG, smoke: ['fanfare'] }),
	...growth(1000000, { modes: LONG }),
	...growth(10000000, { modes: ['full'] }),

	flood(100, 5000, { smoke: ['fanfare'] }),
	flood(1024, 1000),
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
	const has = (row) => mode === 'smoke' ? row.smoke !== undefined : row.modes.includes(mode);
	const wanted = (row) => only === null ? has(row)
		: only.some((o) => o === row.letter || o === row.name);

	return ROWS.filter(wanted).map((row) => {
		const settled = {
			...row, options: inMode(row.options, mode), conf: row.conf ?? {},
			servers: mode === 'smoke' ? row.smoke ?? ['fanfare'] : inMode(row.servers, mode),
			tokens: inMode(row.tokens, mode) ?? 0,
			rounds: rounds ?? Math.min(MODES[mode].rounds, inMode(row.rounds, mode) ?? Infinity),
			before: (row.before ?? []).map((b) => ({ ...b, options: inMode(b.options, mode) })),
		};

		if (['fanout', 'publish', 'slow', 'flood'].includes(row.scenario))
			settled.options.seconds = inMode(row.seconds, mode) ?? MODES[mode].seconds;
		if (mode === 'smoke')
			Object.assign(settled.options, { warmup: 20, timeout: 10 });
		return settled;
	});
}
