// server.d.ts - publishing and minting tokens, on servers and edge functions.  Needs
// nothing but fetch and Web Crypto.
import type { FanfareEvent, Gap, History } from './fanfare.js'

export type { FanfareEvent, Gap, History }

export interface ServerOptions {
	/** Where the server is; default: the environment's FANFARE_URL. */
	url?: string
	/** An API key, or a token that may publish; default: FANFARE_API_KEY. */
	key?: string
	/** Milliseconds in all, with repeats (5000).  Who is told to come later than that gives up at once. */
	timeout?: number
}

export interface NewEvent {
	topic: string
	data: unknown
	event?: string
}

export interface PublishOptions {
	event?: string
	/** Repeats with the same key are stored once, for a day.  Default: one made for this call. */
	idempotencyKey?: string
	signal?: AbortSignal
}

export interface Published {
	id: string
	/** Streams that were there to hear it. */
	subscribers: number
	/** It was stored before, by a call with the same key. */
	duplicate?: boolean
}

export interface PublishedBatch {
	ids: string[]
	duplicate?: boolean
}

/** The server said no, or nobody answered in time. */
export class FanfareError extends Error {
	/** HTTP status; 0: no answer. */
	status: number
	/** 'token_invalid', 'topic_forbidden', 'store_full'; of ours 'unreachable', 'not_fanfare'. */
	code: string
	/** Stands in the server's log too. */
	ref?: string
}

export class Publisher {
	constructor(options?: ServerOptions)
	/** When it resolves, the event is stored, and who listens gets it. */
	publish(topic: string, data: unknown, options?: PublishOptions): Promise<Published>
	/** Up to 1,000, stored all or not at all. */
	publish(events: NewEvent[], options?: Omit<PublishOptions, 'event'>): Promise<PublishedBatch>
	/** For a page's first paint; its `cursor` is where the page's stream goes on. */
	history<Data = any>(topics: string | readonly string[], options?: HistoryOptions): Promise<History<Data>>
	/** Ends the streams of this user, or of this token, and refuses what was issued up to now.
	 *  When it resolves (within a second or two), a new token is good.  With an API key for all topics. */
	revoke(whose: Revocation, options?: { signal?: AbortSignal }): Promise<{ ended: number }>
	/** Who listens: all, or those that fit.  With an API key for all topics. */
	streams(which?: { sub?: string; jti?: string; topic?: string }, options?: { signal?: AbortSignal }): Promise<Streams>
}

/** `issuer` is 'auth', or NAME of a section [auth.NAME]; without it all are meant. */
export type Revocation = { sub: string; jti?: undefined; issuer?: string } | { jti: string; sub?: undefined; issuer?: string }

export interface Streams {
	count: number
	/** 1,000 at most. */
	streams: {
		sub: string | null
		jti: string | null
		issuer: string | null
		topics: string[]
		address: string
		opened: string
		age_ms: number
		/** Events that it has not been sent yet, at most. */
		lag: number
	}[]
	truncated: boolean
}

export interface HistoryOptions {
	/** The newest N of each topic. */
	replay?: number
	/** What follows this id. */
	after?: string
	limit?: number
	signal?: AbortSignal
}

/** With FANFARE_URL and FANFARE_API_KEY from the environment. */
export const publish: Publisher['publish']
export const history: Publisher['history']
export const revoke: Publisher['revoke']
export const streams: Publisher['streams']

export interface TokenClaims {
	/** The user; `topics.authenticated = user/{sub}/**` opens their topics. */
	sub?: string
	/** Topics and patterns beyond those. */
	subscribe?: readonly string[]
	publish?: readonly string[]
	/** Events a second that it may publish, such as 0.5; beside server.publish_rate. */
	rate?: number
	/** Seconds (300). */
	expiresIn?: number
	[claim: string]: unknown
}

export interface TokenOptions {
	/** The server's auth.key, an HMAC secret of 32 bytes or more; default: FANFARE_AUTH_KEY. */
	secret?: string
	issuer?: string
	audience?: string
}

/** A token (HS256) for a page.  Whoever calls this has checked who asks. */
export function mintToken(claims: TokenClaims, options?: TokenOptions): Promise<string>
