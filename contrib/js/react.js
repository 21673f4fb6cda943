'use client';
// react.js - live events in React: one stream for the page, a hook for its topics.
//
// What a hook shows begins with `initial` or nothing, the same on the server and in
// the browser's first render; the stream goes on from there in an effect.
import { createContext, createElement, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { Fanfare, covers } from './fanfare.js';

const CONNECTING = Object.freeze({ status: 'connecting' });
const Context = createContext(null);

async function tokenFrom(url) {
	const response = await fetch(url, { cache: 'no-store', credentials: 'same-origin' });

	// Nobody is signed in: the public topics go on without a token.
	if (response.status === 204 || response.status === 401 || response.status === 403)
		return null;
	if (!response.ok)
		throw new Error(`${url} answered ${response.status} instead of a token`);
	return (await response.text()).trim();
}

export function FanfareProvider({ url, user = null, token, tokenUrl, children, ...options }) {
	const session = JSON.stringify([url, user]);
	const latest = useRef();
	const [made, setMade] = useState(null);

	// A token function made anew by each render is the same connection's.
	useEffect(() => {
		latest.current = { token, tokenUrl };
	});
	useEffect(() => {
		const current = () => latest.current.tokenUrl !== undefined ? tokenFrom(latest.current.tokenUrl)
			: typeof latest.current.token === 'function' ? latest.current.token() : latest.current.token;
		const hasToken = token !== undefined || tokenUrl !== undefined;
		const client = new Fanfare(url, { ...options, user, ...(hasToken ? { token: current } : {}) });
		setMade({ session, client });
		return () => client.close();
	}, [session]);

	// Between two users there is none, so that nobody hears with another's stream.
	const client = made !== null && made.session === session ? made.client : null;
	const value = useMemo(() => ({ session, client }), [session, client]);
	return createElement(Context.Provider, { value }, children);
}

function useProvider(who) {
	const provider = useContext(Context);

	if (provider === null)
		throw new Error(`${who} needs a <FanfareProvider> above it: put one in the root layout (or pages/_app)`);
	return provider;
}

function useStateOf(client) {
	const [subscribe, get] = useMemo(() => client === null ? [() => () => {}, () => CONNECTING]
		: [(changed) => client.watch(changed), () => client.state], [client]);

	return useSyncExternalStore(subscribe, get, () => CONNECTING);
}

export function useFanfareClient() {
	return useProvider('useFanfareClient').client;
}

export function useFanfareStatus() {
	return useStateOf(useProvider('useFanfareStatus').client);
}

// "6f3a9c2e-1042" came after "6f3a9c2e-1041"; another log's id is new anyway.
function isNewer({ id, topic }, last) {
	const [log, number] = id.split('-');
	const [lastLog, lastNumber] = last.get(topic)?.split('-') ?? [];
	const is = log !== lastLog || Number(number) > Number(lastNumber);

	if (is)
		last.set(topic, id);
	return is;
}

// The newest of each topic.
function trim(events, keep) {
	const kept = new Map();

	return events.length <= keep ? events : [...events].reverse().filter(({ topic }) => {
		kept.set(topic, (kept.get(topic) ?? 0) + 1);
		return kept.get(topic) <= keep;
	}).reverse();
}

// What a hook holds for one set of topics.  `place` outlives the subscription: when the
// same effect runs again (StrictMode, Activity), it goes on behind the last event.
function begin(key, topics, initial, { isUsed = true, told = new Map() } = {}) {
	const used = isUsed && topics.length > 0 ? initial : undefined;

	return {
		key, lost: false, refused: undefined, known: topics.length > 0 ? initial?.cursor : undefined,
		events: used?.events.filter((e) => topics.some((t) => covers(t, e.topic))) ?? [],
		// By topic: the last event heard since a gap, and the last that onEvent was told.
		place: { after: used?.cursor, heard: new Map(), told },
	};
}

export function useFanfare(topics, options = {}) {
	const { initial, replay, keep = 100 } = options;
	const { session, client } = useProvider('useFanfare');
	const list = topics === null ? [] : typeof topics === 'string' ? [topics] : topics;
	const key = JSON.stringify([session, ...list]);
	const [held, setHeld] = useState(() => begin(key, list, initial));
	const latest = useRef();
	let now = held;

	// Other topics begin anew: with what the server rendered for them, if it did, else
	// with a replay.  After a gap, what the server rendered since fills the hole.
	if (held.key !== key)
		setHeld(now = begin(key, list, initial, { isUsed: !(replay > 0 && initial?.cursor === held.known) }));
	else if (held.lost && initial !== undefined && initial.cursor !== held.known)
		setHeld(now = begin(key, list, initial, { told: held.place.told }));
	const { place } = now;

	useEffect(() => {
		latest.current = { ...options, keep };
	});
	useEffect(() => {
		if (client === null || list.length === 0)
			return undefined;
		const change = (f) => setHeld((h) => h.place === place ? { ...h, ...f(h) } : h);
		if (now.refused)
			change(() => ({ refused: undefined }));		// asked anew
		const stop = client.on(list, (event) => {
			const { keep, onEvent } = latest.current;
			if (!isNewer(event, place.heard))
				return;
			change((h) => ({ events: trim([...h.events, event], keep) }));
			if (isNewer(event, place.told))
				onEvent?.(event);
		}, {
			after: place.after, replay,
			gap(gap) {
				place.heard.clear();
				change(() => ({ events: [], lost: true }));
				latest.current.onGap?.(gap);
			},
			refused: (detail) => change(() => ({ refused: detail })),
		});
		return () => {
			place.after = stop() ?? place.after;
		};
	}, [client, place]);

	const events = trim(now.events, keep);
	return { ...useStateOf(client), events, latest: events.at(-1), refused: now.refused };
}
