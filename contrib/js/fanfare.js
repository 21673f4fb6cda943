// fanfare.js - live events in a page: what EventSource leaves to be done.
//
// A tab (Fanfare) knows what its handlers want and how far each of them is.  An Engine
// holds the streams for the tabs of one browser; whichever tab has the lock runs it and
// tells the others over a BroadcastChannel.  A Stream is one EventSource that is made
// anew whenever that is needed, and a poll where no stream comes through.
//
// The rule by which nothing is lost or heard twice: a stream begins behind the position
// of whoever is furthest back, hands over events in order and without a hole, and each
// handler drops what is not beyond its own position.
const FIRST_WORD_MS = 10000;	// of a new stream
const BEAT_MS = 15000;		// between heartbeats, until the server has told
const PROBE_MS = 3000;
const LONGEST_MS = 30000;	// between two attempts
const TOPICS = 50, ADDRESS = 4000;	// for one stream
const WAKES = ['pageshow', 'pagehide', 'online', 'visibilitychange'];

// An id is EPOCH-SEQ, and seq rises whatever the epoch is.
const seq = (id) => Number(id.slice(id.lastIndexOf('-') + 1));
const later = (a, b) => seq(a) > seq(b);
const isOfOne = (a, b) => a.split('-')[0] === b.split('-')[0];
const isAnew = (gap) => gap.reason === 'reset' || gap.reason === 'unknown';

// Full jitter: after n failures, anything up to 2^n seconds.
const backoff = (n) => Math.random() * Math.min(LONGEST_MS, 1000 * 2 ** n);
const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });
const guarded = (f, ...args) => {
	try {
		f?.(...args);
	} catch (error) {
		queueMicrotask(() => { throw error; });	// the page's, told as such
	}
};

export function covers(pattern, topic) {
	const want = pattern.split('/'), have = topic.split('/');
	const open = want.at(-1) === '**' && want.pop();

	return (open ? have.length >= want.length : have.length === want.length) &&
		want.every((segment, i) => segment === '*' || segment === have[i]);
}

// Names what is wrong before it reaches the stream that all handlers share.
function check(topics, handlers, { after, replay }) {
	for (const topic of topics)
		if (typeof topic !== 'string' || topic === '' || new TextEncoder().encode(topic).length > 1024 ||
		    /[\0-\x1f\x7f-\x9f]|(^|\/)\*\*\//.test(topic))
			throw TypeError(`fanfare: no topic: ${JSON.stringify(topic)} (1 to 1,024 bytes without controls; ** only at the end)`);
	if (topics.length === 0 || !handlers || typeof handlers !== 'object')
		throw TypeError('fanfare: on() wants topics, and a function or an object of functions');
	if (after !== undefined && after !== null && !/^[0-9a-f]+-[0-9]+$/.test(after))
		throw TypeError(`fanfare: after: ${JSON.stringify(after)} is not the id of an event or a cursor`);
	if (replay !== undefined && !(replay >= 0 && replay <= 1000))
		throw TypeError('fanfare: replay: a number up to 1,000');
}

// Whose a token is, and its end.  Tabs of the same user are company, whatever their tokens
// grant; where nobody says who that is, those whose tokens say the same but for what each
// one has of its own.
function ownerOf(token, user) {
	try {
		const { iat, exp, nbf, jti, nonce, auth_time, at_hash, uti, aio, fva, ...rest } = JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')));
		const { iss, sub } = rest;

		return [JSON.stringify(sub !== undefined ? [iss, sub] : user ?? rest), exp * 1000];
	} catch {
		return [JSON.stringify(user ?? token ?? '')];
	}
}

class Stream {
	cursor;			// where the next connection begins
	topics = [];
	state = { status: 'connecting' };
	#engine;
	#source;
	#failures = 0;
	#anew;			// the next id counts, whatever it is
	#timer;			// to try again; or until silence is too long
	#began = 0;
	#heard = 0;
	#beat = BEAT_MS;
	#wasLive;
	#polls;
	#retry = 0;
	#isStale;		// the token: ask for another one
	#suspect;		// the topic that was refused with it
	#isBehind;		// begins where a handler said, and is not live yet
	#over;

	constructor(engine, n) {
		this.#engine = engine;
		this.n = n;
	}

	// Only one is under way: each call makes those before it void.
	async connect() {
		const source = this.#source = this.#drop(), fresh = this.#isStale;
		let token;

		this.#began = Date.now();
		try {
			token = await this.#engine.tab.token(fresh);
			this.#isStale &&= !fresh;
		} catch (error) {
			return this.#source === source && this.#fail('token', error.message);
		}
		if (this.#source !== source || this.#over)
			return;
		const { tab } = this.#engine;
		const es = this.#source = new EventSource(tab.stream(this.topics, token, this.cursor),
			{ withCredentials: !!tab.options.credentials });
		const hear = (name, f) => es.addEventListener(name, (e) => {
			this.#alive();
			f(e.data && JSON.parse(e.data), e.lastEventId);
		});

		this.#watch(FIRST_WORD_MS);
		hear('message', (event) => this.#event(event));
		hear('fanfare.ping', (_, id) => this.#at(id));
		hear('fanfare.gap', (gap) => this.#gap(gap));
		hear('fanfare.expiring', () => this.#engine.renew());
		let told;		// by the server, before it ends this one
		hear('fanfare.close', (why) => {
			told = why;
			this.#closed(why, fresh);
		});
		hear('fanfare.live', ({ heartbeat }, id) => {
			this.#beat = heartbeat ?? BEAT_MS;
			this.#failures = this.#retry = 0;
			this.#suspect = undefined;
			this.#isBehind = false;
			this.#at(id);
			this.#say('live');
		});
		es.onerror = () => {
			if (es.readyState === 2)
				return this.#fail('refused', 'no stream: another answer, or none');
			this.#failed(told?.reason ?? 'lost', told?.detail);
			told = undefined;
			this.#watch(FIRST_WORD_MS + this.#retry);
		};
	}

	// After sleep, or on another network.
	check(suspicious) {
		const now = Date.now();

		if (now - this.#began > PROBE_MS && (suspicious || this.state.status !== 'live' || now - this.#heard > 1.5 * this.#beat))
			this.connect();
	}

	end() {
		this.#over = true;
		this.#drop();
		this.#polls = this.#source = undefined;
	}

	rewind(id) {
		this.cursor = id;
		this.#isBehind = true;
	}

	#drop() {
		clearTimeout(this.#timer);
		this.#source?.close?.();
		return {};
	}

	// Everything up to here was handed over; undefined: not known.
	get position() {
		return this.#anew || this.#isBehind ? undefined : this.cursor;
	}

	get #broken() {
		return this.#wasLive ? 'reconnecting' : 'connecting';
	}

	#alive() {
		this.#heard = Date.now();
		this.#watch(this.#engine.tab.options.silence ?? 3 * this.#beat);
	}

	#watch(ms) {
		clearTimeout(this.#timer);
		if (!this.#over)
			this.#timer = setTimeout(() => this.#fail('silent', `nothing came for ${ms} ms`), ms);
	}

	#say(status, reason, detail) {
		if (status === 'live') {
			this.#polls = undefined;
			this.#wasLive = true;
		}
		this.state = { status, reason, detail };
		this.#engine.report();
	}

	#failed(reason, detail) {
		this.#say(this.#polls?.works ? 'polling' : this.#broken, reason, detail);
		// A watcher may have closed it just now.
		if (!this.#over && ++this.#failures > 1 && !this.#polls && this.#engine.tab.options.poll !== 0 && /lost|refused|silent/.test(reason))
			this.#poll(this.#polls = {});
	}

	// Try again, with a new EventSource.
	#fail(reason, detail) {
		this.#source = this.#drop();
		this.#failed(reason, detail);
		if (!this.#over)
			this.#timer = setTimeout(() => this.connect(), this.#retry + backoff(this.#failures - 1));
	}

	#closed({ reason, detail, retry, topic }, isFresh) {
		const { options } = this.#engine.tab;

		if (reason === 'drain' || reason === 'overload') {
			this.#retry = retry;		// EventSource comes back by itself
			return this.#say(this.#broken, reason, detail);
		}
		if ((typeof options.token !== 'function' && !options.credentials) || (reason === 'forbidden' && isFresh && this.#suspect === topic)) {
			if (reason !== 'forbidden' || topic === undefined)
				return this.#engine.tab.end(reason, detail);
			this.#failures = 0;
			return this.#engine.refuse(topic, detail);
		}
		this.#isStale = true;
		if (reason === 'forbidden' && this.#suspect !== topic) {
			this.#suspect = topic;
			return this.connect();		// with a token that may know more
		}
		this.#fail(reason, detail);
	}

	#event(event) {
		this.#engine.send({ t: 'event', n: this.n, event });
		this.#passed(event.id);
	}

	// The end of the log, when this was sent.
	#at(id) {
		this.#engine.send({ t: 'at', n: this.n, id });
		this.#passed(id);
	}

	#passed(id) {
		if (this.#anew || !this.cursor || later(id, this.cursor))
			this.cursor = id;
		this.#anew = false;
	}

	#gap(gap) {
		// The old cursor stays until an id comes: should the stream break before, the
		// gap is told again.
		this.#anew ||= isAnew(gap);
		this.#engine.send({ t: 'gap', n: this.n, gap });
	}

	// Beside the attempts to get a stream.
	async #poll(mine) {
		const { tab } = this.#engine;

		while (this.#polls === mine) {
			let wait = (tab.options.poll ?? 5000) * (0.5 + Math.random());

			try {
				const after = this.cursor;
				// The browser's cache asks with the ETag: nothing new costs a 304.
				const page = await tab.history(this.topics, after ? { after, limit: 1000 } : { limit: 1 }, after && 'no-cache');

				if (this.#polls !== mine)
					return;
				if (this.cursor === after) {
					if (page.gap)
						this.#gap(page.gap);
					if (after)
						page.events.forEach((event) => this.#event(event));
					this.#at(page.cursor);
				}
				mine.works = true;
				this.#say('polling', this.state.reason, this.state.detail);
				if (after && page.events.length > 0)
					wait = 0;
			} catch (error) {
				if (this.#polls !== mine)
					return;
				mine.works = false;
				this.#say(this.#broken, this.state.reason, error.message);
			}
			await sleep(wait);
		}
	}
}

class Engine {
	streams = [];
	#wants = new Map();	// tab -> { v, topics, needs }
	#refused = new Map();	// topic -> why
	#made = 0;
	#timer;
	#due = Infinity;
	#stop = new AbortController();

	constructor(tab, id, send) {
		Object.assign(this, { tab, id, send });
	}

	hear({ t, from, want, suspicious }) {
		if (t === 'bye')
			this.#forget(from);
		else if (t === 'check') {
			this.streams.forEach((s) => s.check(suspicious));
			this.report();
		} else {
			if (!this.#wants.has(from) && from !== this.id)
				// A tab's own lock is free when the tab is gone.
				navigator.locks.request(from, { signal: this.#stop.signal }, () => this.#forget(from)).catch(() => {});
			want.needs.forEach(([topic]) => this.#refused.delete(topic));
			this.#wants.set(from, want);
			this.#plan(want.needs.length > 0 ? 10 : 1000);
		}
	}

	#forget(from) {
		if (this.#wants.delete(from))
			this.#plan(1000);	// a page that is loaded anew comes back by then
	}

	#plan(ms) {
		if (Date.now() + ms >= this.#due)
			return;
		this.#due = Date.now() + ms;
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => this.#settle(), ms);
	}

	// Who wants what, and from where; and who has it now.
	#settle() {
		const wants = [...this.#wants.values()], changed = new Set();
		const union = new Set(wants.flatMap((w) => w.topics).filter((t) => !this.#refused.has(t)));
		const streamOf = (topic) => this.streams.find((s) => s.topics.includes(topic));

		this.#due = Infinity;
		for (const s of this.streams) {
			const keep = s.topics.filter((t) => union.has(t));

			if (keep.length < s.topics.length)
				changed.add(s);
			s.topics = keep;
		}
		for (const topic of union) {
			if (streamOf(topic))
				continue;
			let s = this.streams.find((o) => this.tab.fits([...o.topics, topic]));
			if (!s)
				this.streams.push(s = new Stream(this, `${this.id}.${this.#made++}`));
			s.topics.push(topic);
			changed.add(s);
		}
		const positions = new Map(this.streams.map((s) => [s, s.position]));
		for (const [topic, after] of wants.flatMap((w) => w.needs.splice(0))) {
			const s = streamOf(topic);

			if (s && after && !(s.cursor && !later(s.cursor, after))) {
				s.rewind(after);
				changed.add(s);
			}
		}
		this.streams = this.streams.filter((s) => s.topics.length > 0 || s.end());
		this.send({ t: 'open', streams: this.streams.map((s) => [s.n, s.topics, positions.get(s)]),
			versions: [...this.#wants].map(([from, { v }]) => [from, v]) });
		for (const s of changed)
			if (s.topics.length > 0)
				s.connect();
		this.report();
	}

	// A new token before the old one ends, and streams with it.
	async renew(failures = 0) {
		try {
			await this.tab.token(true);
			this.streams.forEach((s) => s.connect());
		} catch {
			setTimeout(() => !this.#stop.signal.aborted && this.renew(failures + 1), 500 + backoff(failures));
		}
	}

	refuse(topic, detail) {
		this.#refused.set(topic, detail);
		this.send({ t: 'refused', topic, detail });
		this.#settle();
	}

	report() {
		const worst = ['polling', 'reconnecting', 'connecting', 'live'];
		const states = this.streams.map((s) => s.state);
		const state = states.length === 0 && this.#refused.size > 0 ?
			{ status: 'closed', reason: 'forbidden', detail: [...this.#refused.values()][0] } :
			states.sort((x, y) => worst.indexOf(x.status) - worst.indexOf(y.status))[0] ?? { status: 'connecting' };

		this.send({ t: 'state', state });
	}

	end() {
		this.#stop.abort();
		clearTimeout(this.#timer);
		this.streams.splice(0).forEach((s) => s.end());
	}
}

export class Fanfare {
	state = Object.freeze({ status: 'connecting' });
	#base;
	#told = this.state;	// of the streams; the handlers' own may be worse
	#subs = new Set();
	#watchers = new Set();
	#session;
	#version = 0;
	#planned;
	#over;
	#moves = 0;		// to other tabs' company, since it was live
	#own = new Set();	// topics that the company's token does not open, and this tab's may
	#held;			// the token in use, whose it is, its end, and when it came
	#asked;			// a token on its way
	#leader;
	#heard = 0;

	constructor(url = '', options = {}) {
		this.options = options;
		this.#base = new URL(`${String(url).replace(/\/+$/, '')}/`, globalThis.location?.href).href;
		for (const name of WAKES)
			globalThis.addEventListener?.(name, this.#woken, true);
	}

	on(topics, handlers, options = {}) {
		const sub = { handlers: typeof handlers === 'function' ? { '*': handlers } : handlers, options,
			// `at`: heard up to here; null: from now on.  `n`: the stream that brings it.
			parts: [topics].flat().map((topic) => ({ topic, at: options.after ?? null })),
			isBegun: !options.replay && !options.after };

		check([topics].flat(), sub.handlers, options);
		this.#subs.add(sub);
		this.#change();
		return () => {
			const places = sub.parts.filter((part) => !part.isRefused).map((part) => part.at);

			if (this.#subs.delete(sub))
				this.#change();
			return places.includes(null) ? undefined : places.reduce((a, b) => (later(a, b) ? b : a), places[0]);
		};
	}

	watch(listener) {
		const own = (state) => listener(state);

		this.#watchers.add(own);
		return () => { this.#watchers.delete(own); };
	}

	close({ everywhere } = {}) {
		if (everywhere)
			this.#session?.channel?.postMessage({ t: 'left' });
		this.end('left');
	}

	end(reason, detail) {
		this.#over = true;
		for (const name of WAKES)
			globalThis.removeEventListener?.(name, this.#woken, true);
		this.#leave();
		this.#subs.clear();
		this.#say({ status: 'closed', reason, detail });
	}

	// --- the network; for Stream ---

	address(path, parameters) {
		const url = new URL(path, this.#base);

		for (const [name, value] of Object.entries(parameters))
			for (const one of [value].flat())
				if (one !== undefined && one !== null)
					url.searchParams.append(name, one);
		return url.href;
	}

	stream(topics, token, after) {
		return this.address('events', { topic: topics, after, token,
			format: 'envelope', heartbeat: 'event', errors: 'event' });
	}

	// Into one address.  A token is as long as it is, with one topic or many.
	fits(topics) {
		return topics.length <= TOPICS && this.stream(topics).length < ADDRESS;
	}

	async token(fresh) {
		const { token } = this.options;

		if (typeof token !== 'function')
			return token;
		const held = this.#held, now = Date.now();
		if (held && !fresh && (now - held.at < 1000 || !(held.end - now < 5000)))
			return held.text;
		this.#asked ??= Promise.race([Promise.resolve().then(token), sleep(FIRST_WORD_MS).then(() => {
			throw Error('the token function does not answer');
		})]).finally(() => { this.#asked = undefined; });
		const text = await this.#asked;
		if (text && typeof text !== 'string')
			throw TypeError(`the token function gave no string but ${JSON.stringify(text)}`);
		const [owner, end] = ownerOf(text, this.options.user);
		const isOther = held && held.owner !== owner;

		this.#held = { text, owner, end, at: Date.now() };
		if (isOther && this.#session?.name) {
			// Not the company of those tabs any more.  Should each token be another, not
			// too often.
			this.#leave();
			this.#own.clear();
			this.#say({ ...this.state, status: 'reconnecting' });
			sleep(this.#moves > 0 ? backoff(this.#moves) : 0).then(() => this.#change());
			this.#moves++;
		}
		return text;
	}

	// What a cache has kept begins where the log ended then, perhaps days ago.
	async history(topics, parameters, cache = 'no-store', fresh = false) {
		const token = await this.token(fresh), stop = new AbortController();
		let timer;
		const watch = () => {
			clearTimeout(timer);
			timer = setTimeout(() => stop.abort(Error(`nothing came for ${FIRST_WORD_MS} ms`)), FIRST_WORD_MS);
		};

		watch();
		const response = await fetch(this.address('history', { topic: topics, ...parameters }), { cache,
			credentials: this.options.credentials ? 'include' : 'same-origin', signal: stop.signal,
			headers: token ? { authorization: `Bearer ${token}` } : {} }).finally(() => clearTimeout(timer));
		// However long it takes, as long as it comes.
		const body = new Response(response.body?.pipeThrough(new TransformStream({
			transform(bytes, onward) {
				watch();
				onward.enqueue(bytes);
			},
		}))).json().finally(() => clearTimeout(timer));

		if (response.ok)
			return body;
		const { detail = response.statusText, topic } = await body.catch(() => ({}));
		if (response.status === 401 || response.status === 403)
			if (!fresh && typeof this.options.token === 'function')
				return this.history(topics, parameters, cache, true);
		throw Object.assign(Error(`${response.status} ${detail}`), response.status === 403 && { topic, detail });
	}

	// --- the other tabs ---

	async #join() {
		const session = this.#session = { id: `fanfare ${Math.random().toString(36).slice(2)}`, isFirst: true };
		const { locks } = globalThis.navigator ?? {}, { shared = true, credentials, user } = this.options;

		if (this.state.status !== 'connecting')
			this.#say({ status: 'reconnecting' });
		for (let failures = 0; ; failures++) {
			try {
				await this.token();
				break;
			} catch (error) {
				if (this.#session !== session)
					return;
				this.#say({ status: this.state.status === 'connecting' ? 'connecting' : 'reconnecting', reason: 'token', detail: error.message });
				await sleep(backoff(failures));
			}
		}
		if (this.#session !== session)
			return;
		// A cookie does not say whose it is.
		if (!globalThis.BroadcastChannel || (credentials && user === undefined))
			return this.#lead(session);
		// The number: of what is said there, which tabs with another fanfare.js may not know.
		const name = `fanfare 1 ${this.#base} ${ownerOf(this.#held?.text ?? this.options.token, user)[0]}`;
		session.isAlone = !shared || !locks || this.#own.size > 0;
		if (!session.isAlone) {
			// Held before anybody is told of this tab: when it is free, the tab is gone.
			const isLost = await new Promise((done) => {
				locks.request(session.id, () => new Promise((free) => { session.gone = free; done(false); })).catch(() => done(true));
			});
			if (this.#session !== session)
				return session.gone?.();
			if (isLost)
				return this.#lead(session);		// a page without an origin of its own
			const { held } = await locks.query();
			if (this.#session !== session)
				return;
			session.isFirst = !held.some((lock) => lock.name === name);
		}
		session.name = name;
		session.channel = new BroadcastChannel(name);
		session.channel.onmessage = ({ data }) => {
			if (data.t === 'left')
				this.close();
			else if (!session.isAlone)
				(data.from ? session.engine?.hear(data) : this.#hear(data));
		};
		if (session.isAlone)
			return this.#lead(session);
		this.#queue(session, false);
		this.#start();
		session.timer = setInterval(() => this.#probe(), BEAT_MS);
	}

	// Lead when whoever leads is gone; or now, when it does not answer.
	#queue(session, steal) {
		const queue = session.queue = new AbortController();

		navigator.locks.request(session.name, steal ? { steal } : { signal: queue.signal }, () => {
			if (this.#session !== session || session.queue !== queue)
				return undefined;
			this.#lead(session);
			return new Promise((free) => { session.free = free; });
		}).catch(() => {
			// Another tab found this one asleep.
			if (this.#session !== session || session.queue !== queue)
				return;
			this.#quit(session);
			this.#part();
			this.#queue(session, false);
			this.#want();
		});
	}

	#lead(session) {
		const engine = session.engine = new Engine(this, session.id, (message) => {
			if (this.#session !== session || session.engine !== engine)
				return;
			message.leader = session.id;
			if (!session.isAlone)
				session.channel?.postMessage(message);
			this.#hear(message);
		});
		engine.send({ t: 'lead' });
		this.#start();
	}

	#quit(session) {
		const { engine } = session;

		session.engine = undefined;	// nobody is to hear of its end
		engine?.end();
	}

	#leave() {
		const session = this.#session;

		this.#session = undefined;
		if (!session)
			return;
		this.#quit(session);
		clearInterval(session.timer);
		session.channel?.postMessage({ t: 'bye', from: session.id });
		session.channel?.close();
		session.queue?.abort();
		session.free?.();
		session.gone?.();
		this.#part();
	}

	// From whoever led: no stream brings anything until another one says so.
	#part() {
		this.#leader = undefined;
		this.#parts((part) => {
			if (part.n !== null)
				part.n = undefined;
		});
	}

	#tell(message) {
		const { engine, channel, id: from } = this.#session;

		if (engine)
			engine.hear({ ...message, from });
		else
			channel?.postMessage({ ...message, from });
	}

	#probe(suspicious) {
		const session = this.#session, asked = Date.now();

		if (!session?.name || session.engine || (!suspicious && asked - this.#heard < 1.5 * BEAT_MS))
			return;
		this.#tell({ t: 'check', suspicious });
		setTimeout(() => {
			if (this.#session !== session || session.engine || this.#heard >= asked)
				return;
			session.queue.abort();
			this.#queue(session, true);
		}, PROBE_MS + 2000 * Math.random());	// others wait for it too
	}

	#woken = ({ type, persisted }) => {
		if (type === 'pagehide') {
			this.#leave();		// what a page holds keeps it from being kept
		} else if (type === 'pageshow') {
			if (persisted)
				this.#change();
		} else if (type === 'online' || document.visibilityState === 'visible') {
			const suspicious = type === 'online';

			if (this.#session?.engine)
				this.#tell({ t: 'check', suspicious });
			else
				this.#probe(suspicious);
		}
	};

	// --- this tab's handlers ---

	#parts(f) {
		for (const sub of [...this.#subs])
			for (const part of sub.parts)
				f(part, sub);
	}

	#change() {
		if (this.#planned || this.#over)
			return;
		this.#planned = true;
		queueMicrotask(() => {
			this.#planned = false;
			if (this.#over)
				return;
			if (this.#own.size > 0) {
				let isAlone = false;
				this.#parts((part) => { isAlone ||= this.#own.has(part.topic) && !part.isRefused; });
				if (!isAlone) {
					this.#own.clear();
					this.#leave();
				}
			}
			if (!this.#session && this.#subs.size > 0)
				this.#join();
			else
				this.#start();
		});
	}

	// Those that begin in the past.  Nobody's stream goes back for that: who comes when
	// there is one already reads /history up to now.
	#start() {
		const { engine, channel, isFirst } = this.#session ?? {};

		if (!engine && !channel)
			return;
		const isNew = isFirst && !engine?.streams.length;
		for (const sub of [...this.#subs])
			if (!sub.isBegun && !(sub.isBegun = isNew && !!sub.options.after))
				this.#begin(sub);
		this.#want();
	}

	// What the others will have to know: all topics, and from where those that no
	// stream brings yet.
	#want() {
		const topics = new Set(), needs = [];

		if (!this.#session?.engine && !this.#session?.channel)
			return;
		this.#version++;
		this.#parts((part, sub) => {
			if (!sub.isBegun || part.isRefused)
				return;
			topics.add(part.topic);
			if (part.n === undefined) {
				part.version = this.#version;
				needs.push([part.topic, part.at]);
			}
		});
		this.#tell({ t: 'want', want: { v: this.#version, topics: [...topics], needs } });
	}

	// What is behind its position, or the last events of its topics; then the stream.
	async #begin(sub, wait = 0) {
		const mine = sub.begins = {}, { parts, options } = sub;
		const isMine = () => this.#subs.has(sub) && sub.begins === mine;
		let groups = this.#groups(parts), given = new Set(), failures = 0;

		sub.isBegun = true;
		parts.forEach((part) => { part.n = null; });
		if (wait > 0)
			await sleep(wait);
		while (isMine()) {
			groups.forEach((group) => { group.parts = group.parts.filter((part) => !part.isRefused); });
			groups = groups.filter((group) => group.parts.length > 0);
			if (groups.length === 0) {
				parts.forEach((part) => { part.n = undefined; });
				return this.#want();
			}
			const group = groups.find(({ page }) => !page);
			if (group) {
				const { at } = group.parts[0];

				try {
					group.page = await this.history(group.parts.map((part) => part.topic), at ? { after: at, limit: 1000 } : { replay: options.replay });
					sub.fault = undefined;
				} catch (error) {
					if (group.parts.some((part) => part.topic === error.topic)) {
						this.#refuse(error.topic, error.detail);
						continue;
					}
					sub.fault = error.message;
					this.#say(this.#told);
					await sleep(500 + backoff(failures++));
				}
				continue;
			}
			// Told before anything of any group is given: the page clears what it has.
			const gap = groups.find(({ page }) => page.gap)?.page.gap;
			if (gap)
				guarded(options.gap, gap);
			if (gap && options.replay) {
				parts.forEach((part) => { part.at = null; });
				groups = this.#groups(parts);
				given = new Set();
				continue;
			}
			// After another gap they are the newest of all, not what follows.
			groups.flatMap(({ page }) => (!page.gap || page.gap.reason === 'expired' ? page.events : []))
				.sort((a, b) => seq(a.id) - seq(b.id))
				.forEach((event) => given.has(event.id) || (given.add(event.id), this.#give(sub, event)));
			groups = groups.filter((one) => {
				const { page, parts: [{ at }] } = one;

				one.page = undefined;
				one.parts.forEach((part) => { part.at = page.cursor; });
				return at && !page.gap && page.events.at(-1)?.id === page.cursor;	// there may be more
			});
		}
	}

	// For one request each.
	#groups(parts) {
		const groups = [];

		for (const part of parts) {
			const last = groups.at(-1);

			if (last && this.fits([...last.parts, part].map(({ topic }) => topic)))
				last.parts.push(part);
			else
				groups.push({ parts: [part] });
		}
		return groups;
	}

	#give(sub, event) {
		const { handlers } = sub, name = event.event;

		if (this.#subs.has(sub))
			guarded(name !== null && Object.hasOwn(handlers, name) ? handlers[name] : handlers['*'], event);
	}

	// The stream and /history may both say so.
	#refuse(topic, detail) {
		this.#parts((part, sub) => {
			if (part.topic !== topic || part.isRefused)
				return;
			part.isRefused = true;
			guarded(sub.options.refused, detail, topic);
		});
		this.#change();
	}

	#miss(sub, gap) {
		if (isAnew(gap) || sub.options.replay)
			sub.parts.forEach((part) => { part.at = null; });
		guarded(sub.options.gap, gap);
		if (!sub.options.replay || !this.#subs.has(sub))
			return;
		// Should each beginning end in a gap, not too often.
		sub.misses = Date.now() - sub.missed < LONGEST_MS ? sub.misses + 1 : 0;
		sub.missed = Date.now();
		this.#begin(sub, sub.misses && backoff(sub.misses));
	}

	#say(state) {
		const { status, reason, detail } = this.state;
		const late = [...this.#subs].find((sub) => sub.fault);

		this.#told = state;
		if (state.status === 'live') {
			this.#moves = 0;
			if (late)
				state = { status: status === 'connecting' ? status : 'reconnecting', reason: 'history', detail: late.fault };
		}
		if (state.status === status && state.reason === reason && state.detail === detail)
			return;
		this.state = Object.freeze({ ...state });
		for (const watcher of [...this.#watchers])
			guarded(watcher, this.state);
	}

	#hear(message) {
		const { t, n, event, id, leader } = message;

		// Who leads is for the lock to say; should this tab have lost it, it is told.
		if (!this.#session || (this.#session.engine && leader !== this.#session.id))
			return;
		if (t === 'lead' || !this.#leader)
			this.#leader = leader;
		else if (leader !== this.#leader)
			return;			// it does not know yet that another one leads
		this.#heard = Date.now();
		if (t === 'event') {
			for (const sub of [...this.#subs]) {
				const parts = sub.parts.filter((part) => !part.isRefused && covers(part.topic, event.topic));

				if (parts.some((part) => part.n === n && part.at !== null) &&
				    parts.every((part) => part.at === null || later(event.id, part.at)))
					this.#give(sub, event);
			}
			this.#parts((part) => {
				if (part.n === n && part.at !== null && later(event.id, part.at))
					part.at = event.id;
			});
		} else if (t === 'at') {
			this.#parts((part, sub) => {
				const { at } = part;

				if (part.n !== n)
					return;
				if (at === null || later(id, at))
					part.at = id;
				else if (later(at, id) && !isOfOne(at, id)) {
					// Beyond the end: it was never a position in this log.
					this.#miss(sub, { reason: 'reset', topics: [part.topic], requested: at, oldest: id });
					part.at = id;
				}
			});
		} else if (t === 'gap') {
			for (const sub of [...this.#subs])
				if (sub.parts.some((part) => part.n === n))
					this.#miss(sub, message.gap);
		} else if (t === 'open') {
			const mine = message.versions.find(([tab]) => tab === this.#session.id)?.[1];

			this.#parts((part) => {
				if (part.n === undefined ? part.version <= mine : part.n !== null) {
					const [number, , position] = message.streams.find(([, topics]) => topics.includes(part.topic)) ?? [];

					part.n = number;
					part.at ??= position ?? null;
				}
			});
		} else if (t === 'lead') {
			this.#part();
			this.#leader = leader;
			this.#want();
		} else if (t === 'refused') {
			let isWanted = false;

			this.#parts((part) => { isWanted ||= part.topic === message.topic && !part.isRefused; });
			if (!isWanted || leader === this.#session.id || !this.options.token)
				return this.#refuse(message.topic, message.detail);
			// With another tab's token.  This one's may open it: on a stream of its own.
			this.#own.add(message.topic);
			this.#leave();
			this.#change();
		} else if (t === 'state')
			this.#say(message.state);
	}
}
