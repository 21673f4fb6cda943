#!/usr/bin/env node
// convert.mjs DATA.json - turn an openfootball tournament file into the demo's
// feed, on standard output: one event a line, in the order they happened.
//
//     {"at": when, "topic": "scores/7", "event": "goal", "data": {...}}
//
// `at` is for the player (../demo-feed); the rest is what is published.  Every
// event carries all there is to know about its match, goals included, so that the
// newest event of a topic is enough to show it, and a lost one heals by itself.
//
// Events: fixture, kickoff, goal, half-time, second-half, extra-time, penalties,
// full-time.  Team names of a knock-out match are told when they are decided.
//
// The data knows minutes, not clock times: how long stoppage and breaks last is
// made up here, and nothing else.
import { readFileSync } from 'node:fs';

const CODES = {
	'Algeria': 'ALG', 'Argentina': 'ARG', 'Australia': 'AUS', 'Austria': 'AUT',
	'Belgium': 'BEL', 'Bosnia & Herzegovina': 'BIH', 'Brazil': 'BRA',
	'Canada': 'CAN', 'Cape Verde': 'CPV', 'Colombia': 'COL', 'Croatia': 'CRO',
	'Curaçao': 'CUW', 'Czech Republic': 'CZE', 'DR Congo': 'COD',
	'Ecuador': 'ECU', 'Egypt': 'EGY', 'England': 'ENG', 'France': 'FRA',
	'Germany': 'GER', 'Ghana': 'GHA', 'Haiti': 'HAI', 'Iran': 'IRN',
	'Iraq': 'IRQ', 'Ivory Coast': 'CIV', 'Japan': 'JPN', 'Jordan': 'JOR',
	'Mexico': 'MEX', 'Morocco': 'MAR', 'Netherlands': 'NED',
	'New Zealand': 'NZL', 'Norway': 'NOR', 'Panama': 'PAN', 'Paraguay': 'PAR',
	'Portugal': 'POR', 'Qatar': 'QAT', 'Saudi Arabia': 'KSA',
	'Scotland': 'SCO', 'Senegal': 'SEN', 'South Africa': 'RSA',
	'South Korea': 'KOR', 'Spain': 'ESP', 'Sweden': 'SWE',
	'Switzerland': 'SUI', 'Tunisia': 'TUN', 'Turkey': 'TUR', 'USA': 'USA',
	'Uruguay': 'URU', 'Uzbekistan': 'UZB',
};
// What a page asks for at most (replay=1000) must hold the whole tournament.
const MOST_EVENTS = 1000;
const MINUTE = 60000;

function fail(why) {
	console.error(`convert: ${why}`);
	process.exit(1);
}

function team(name) {
	if (!(name in CODES))
		fail(`no three-letter code for "${name}"`);
	return { code: CODES[name], name };
}

function kickoffTime(match) {
	const m = /^(\d\d):(\d\d) UTC([+-]\d+)$/.exec(match.time);
	if (m === null)
		fail(`time "${match.time}" is not "HH:MM UTC+N"`);
	const [y, mo, d] = match.date.split('-').map(Number);
	return Date.UTC(y, mo - 1, d, Number(m[1]) - Number(m[3]), Number(m[2]));
}

// "90+4" -> [90, 4]
function minuteOf(text) {
	const m = /^(\d+)(?:\+(\d+))?$/.exec(text);
	if (m === null)
		fail(`minute "${text}" is not "N" or "N+N"`);
	return [Number(m[1]), Number(m[2] ?? 0)];
}

// All goals of a match, in the order they fell, with the period they fell in.
function goalsOf(match) {
	const rows = [];
	for (const [side, list] of [['home', match.goals1], ['away', match.goals2]])
		for (const g of list ?? []) {
			let [base, extra] = minuteOf(g.minute);
			if (base > 90 && match.score.et === undefined)
				[base, extra] = [90, base - 90];
			const minute = extra > 0 ? `${base}+${extra}` : `${base}`;
			if (minute !== g.minute)
				console.error(`convert: match ${match.num}: minute ` +
					`${g.minute} without extra time is read as ${minute}`);
			const row = { side, scorer: g.name, minute };
			if (g.penalty)
				row.kind = 'penalty';
			if (g.owngoal)
				row.kind = 'own goal';
			rows.push({ row, base, extra });
		}
	rows.sort((a, b) => a.base - b.base || a.extra - b.extra);
	return rows.map((r, i) => ({ ...r,
		row: { key: `${match.num}-${i + 1}`, ...r.row } }));
}

function count(goals, until) {
	const score = [0, 0];
	for (const g of goals)
		if (g.base <= until)
			score[g.row.side === 'home' ? 0 : 1]++;
	return score;
}

function same(a, b) {
	return a[0] === b[0] && a[1] === b[1];
}

// Everything that happens in one match, as events.
function play(match) {
	const goals = goalsOf(match);
	const { ht, ft, et, p } = match.score;

	for (const [until, score] of [[90, ft], [120, et]])
		if (score !== undefined && !same(count(goals, until), score))
			fail(`match ${match.num}: goals and score disagree`);
	if (!same(count(goals, 45), ht))
		console.error(`convert: match ${match.num}: half-time score is ${ht}, ` +
			`the goals say ${count(goals, 45)} and are believed`);

	const events = [];
	let status = 'first-half';
	let shown = [];
	let penalties;
	const emit = (time, event, minute) => {
		events.push(describe(match, time, event, { status, minute, shown, penalties }));
	};
	// One period: its goals at their minutes; returns when it ends.
	const period = (start, from, to, stoppage) => {
		const inside = goals.filter((g) => g.base > from && g.base <= to);
		let end = start + (to - from + stoppage) * MINUTE;
		for (const g of inside) {
			const time = start + (g.base - from + g.extra) * MINUTE;
			shown = [...shown, g.row];
			emit(time, 'goal', g.row.minute);
			end = Math.max(end, time + MINUTE);
		}
		return end;
	};

	let t = match.start;
	emit(t, 'kickoff', '0');
	t = period(t, 0, 45, 2);
	status = 'half-time';
	emit(t, 'half-time', '45');
	t += 15 * MINUTE;
	status = 'second-half';
	emit(t, 'second-half', '45');
	t = period(t, 45, 90, 4);
	if (et !== undefined) {
		t += 3 * MINUTE;
		status = 'extra-time';
		emit(t, 'extra-time', '90');
		t = period(t, 90, 105, 1);
		t = period(t, 105, 120, 1);
	}
	if (p !== undefined) {
		status = 'penalties';
		penalties = [0, 0];
		emit(t, 'penalties', '120');
		t += 8 * MINUTE;
		penalties = p;
	}
	status = 'full-time';
	emit(t, 'full-time', et === undefined ? '90' : '120');
	return { events, end: t };
}

function describe(match, time, event, now) {
	const data = {
		match: match.num, stage: match.stage,
		date: new Date(match.start).toISOString().replace('.000', ''),
		ground: match.ground, home: now.home === null ? null : match.home,
		away: now.home === null ? null : match.away,
	};
	if (match.from !== undefined)
		data.from = match.from;
	data.status = now.status;
	data.minute = now.minute;
	data.score = count(now.shown.map((row) => ({ row, base: 0 })), 0);
	data.goals = now.shown;
	if (now.penalties !== undefined)
		data.penalties = now.penalties;
	if (now.status === 'full-time' && match.group === undefined) {
		data.winner = winner(match);
		if (match.score.et !== undefined)
			data.decided = match.score.p === undefined ? 'extra time' : 'penalties';
	}
	return { time, topic: `scores/${match.num}`, event, data };
}

function winner(match) {
	const s = match.score.p ?? match.score.et ?? match.score.ft;
	if (s[0] === s[1])
		fail(`match ${match.num}: nobody won it`);
	return s[0] > s[1] ? 'home' : 'away';
}

const file = process.argv[2];
if (file === undefined || process.argv.length !== 3)
	fail('usage: convert.mjs DATA.json > feed.ndjson');
const matches = JSON.parse(readFileSync(file, 'utf8')).matches;
for (const m of matches)
	Object.assign(m, { start: kickoffTime(m), home: team(m.team1),
		away: team(m.team2), stage: m.group ?? m.round });

// Knock-out matches have their numbers; group matches get theirs by kick-off.
matches.sort((a, b) => a.start - b.start || a.stage.localeCompare(b.stage) ||
	a.team1.localeCompare(b.team1));
matches.forEach((m, i) => { m.num ??= i + 1; });
matches.sort((a, b) => a.num - b.num);
if (matches.some((m, i) => m.num !== i + 1))
	fail('match numbers are not 1, 2, 3...');

const events = [];
const before = { status: 'before', minute: '0', shown: [] };
const opening = Math.min(...matches.map((m) => m.start)) - 5 * MINUTE;
const last = new Map();		// team -> its latest match so far, and when it ended
for (const m of matches) {
	const group = m.group !== undefined;
	const feeders = [last.get(m.team1), last.get(m.team2)];
	if (!group && feeders.every((f) => f.match.group === undefined))
		m.from = feeders.map((f) => f.match.num);
	events.push(describe(m, opening, 'fixture', group ? before : { ...before, home: null }));
	if (!group) {
		// The third-placed teams are not known before the last group match.
		const decided = m.from === undefined
			? Math.max(...matches.filter((x) => x.group).map((x) => x.end))
			: Math.max(...feeders.map((f) => f.end));
		events.push(describe(m, decided + MINUTE, 'fixture', before));
	}
	const played = play(m);
	m.end = played.end;
	events.push(...played.events);
	for (const name of [m.team1, m.team2])
		last.set(name, { match: m, end: played.end });
}

events.sort((a, b) => a.time - b.time);		// stable: a match keeps its order
if (events.length > MOST_EVENTS)
	fail(`${events.length} events, but a page can ask for ${MOST_EVENTS} at most`);
for (const { time, ...e } of events)
	console.log(JSON.stringify({ at: new Date(time).toISOString().replace('.000', ''), ...e }));
