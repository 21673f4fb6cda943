// fanfare.d.ts - live events in a page.

/** One published event, as the server's envelope has it. */
export interface FanfareEvent<Data = any, Name extends string | null = string | null> {
	/** Rises with each event; none comes twice to a handler. */
	id: string
	/** The topic it was published to, never a pattern. */
	topic: string
	/** The name it was published with, or null. */
	event: Name
	/** When it was stored: RFC 3339, UTC, milliseconds. */
	time: string
	/** JSON as it was published; a string if it was published as text. */
	data: Data
}

/** Something is missing here: load what the page shows anew. */
export interface Gap {
	/** Pruned by retention; another log than the page knew; no id of this server; too far behind. */
	reason: 'expired' | 'reset' | 'unknown' | 'too_far'
	topics: string[]
	requested: string | null
	oldest: string
}

/** What GET /history answers. */
export interface History<Data = any> {
	/** Oldest first. */
	events: FanfareEvent<Data>[]
	/** Where to go on: `after` of on(), or of the next request. */
	cursor: string
	gap: Gap | null
}

export type Status =
	/** Not yet live since it was made. */
	| 'connecting'
	/** Everything up to now has been handed over. */
	| 'live'
	/** The stream broke or was ended; it will be resumed, and nothing is lost. */
	| 'reconnecting'
	/** No stream comes through: asking every few seconds, until one does. */
	| 'polling'
	/** For good; `reason` says why. */
	| 'closed'

export interface State {
	readonly status: Status
	/**
	 * Why it is not live.  The server's words: 'expired' | 'revoked' | 'unauthorized' |
	 * 'forbidden' | 'overload' | 'drain'.  Ours: 'lost' (the connection broke), 'refused'
	 * (an answer other than a stream; in Firefox also none), 'silent' (no heartbeat came),
	 * 'token' (the token function failed), 'history' (a handler begins in the past, and
	 * /history fails; the others go on), 'left' (close() was called).
	 */
	readonly reason?: 'expired' | 'revoked' | 'unauthorized' | 'forbidden' | 'overload' | 'drain' |
		'lost' | 'refused' | 'silent' | 'token' | 'history' | 'left'
	/** In words, for a log. */
	readonly detail?: string
}

export type Token = string | null | undefined

export interface Options {
	/**
	 * A token, or who gets one: called for each new connection, when the one in use is
	 * about to expire, and when it was refused.  A failure is tried again, more and
	 * more rarely.
	 */
	token?: Token | (() => Token | Promise<Token>)
	/** Send cookies to a server of another origin.  Then tabs share only with `user`. */
	credentials?: boolean
	/** Who is signed in, where no token's `sub` says it: tabs of two do not share. */
	user?: string | null
	/**
	 * Share one stream among all tabs of this browser whose tokens have the same `iss`
	 * and `sub` (without those: the same `user`; else the same claims but for times).
	 * A tab that wants a topic that the others' token does not open, and its own does,
	 * has a stream of its own meanwhile.  Without the Web Locks API each tab has its
	 * own.  Default true.
	 */
	shared?: boolean
	/** Milliseconds between polls while no stream comes through (5000); 0: never poll. */
	poll?: number
	/** Milliseconds without a heartbeat after which a stream is given up (three of the server's). */
	silence?: number
}

export type Handler<Data = any, Name extends string | null = string | null> =
	(event: FanfareEvent<Data, Name>) => void

/**
 * By the event's name; '*' gets those that have no handler of their own.  (Extract keeps
 * TypeScript from guessing `Events` by the handlers.)
 */
export type Handlers<Events extends object = Record<string, any>> =
	{ [Name in Extract<keyof Events, string>]?: Handler<Events[Name], string extends Name ? any : Name> } &
	{ '*'?: Handler }

export interface OnOptions {
	/** Begin behind this id: `cursor` of a History.  Wins over `replay` at the start. */
	after?: string
	/** Begin with the last N events of each topic, and so again after a gap. */
	replay?: number
	/** Events are missing: clear what came from events; with `replay` they come anew. */
	gap?: (gap: Gap) => void
	/** The token does not allow this topic: called for each such one; the others go on. */
	refused?: (detail: string, topic: string) => void
}

/** One connection to a server, for as many topics as the page wants. */
export class Fanfare {
	/** `url`: where the server is (this page's origin); a path before /events is kept. */
	constructor(url?: string | URL, options?: Options)

	/** Never changed, only replaced. */
	readonly state: State

	/**
	 * Hear the events of these topics (`scores/7`, patterns like `scores/*` or
	 * `user/42/**`) from now on, or as the options say: once each, in order for each
	 * topic.  Call what it returns to stop; it answers where to go on, `after` for
	 * another on(), if that is known.  After close() nothing is heard.  Throws TypeError.
	 */
	on<Events extends object = Record<string, any>>(topics: string | readonly string[],
		handlers: Handler | Handlers<Events>, options?: OnOptions): () => string | undefined

	/** Called after each change of `state`, until what it returns is called. */
	watch(listener: (state: State) => void): () => void

	/**
	 * The end: this tab hears nothing more.  As part of logging out, `everywhere`: nor
	 * does any other tab of the same user (`shared` says who that is).
	 */
	close(options?: { everywhere?: boolean }): void
}

/** Does this pattern (or plain topic) cover this topic? */
export function covers(pattern: string, topic: string): boolean
