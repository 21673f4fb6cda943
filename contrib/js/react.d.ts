// react.d.ts - live events in React, also rendered on a server.
import type { ReactNode, ReactElement } from 'react'
import type { Fanfare, FanfareEvent, Gap, History, Options, State } from './fanfare.js'

export type { FanfareEvent, Gap, History, State }

/**
 * One stream for all below it; stands in the root layout, so that it outlives
 * navigation.  A change of `url` or `user` closes it and begins another.
 */
export function FanfareProvider(props: Options & {
	url?: string
	/** Who is signed in; another user gets another stream. */
	user?: string | null
	/**
	 * Instead of `token`: a path of this site that answers with the visitor's token as
	 * text, or with 204, 401 or 403 for none.  A layout that is rendered on a server
	 * can say this, and cannot hand over a function.
	 */
	tokenUrl?: string
	children?: ReactNode
}): ReactElement

export interface UseOptions<Data = any> {
	/**
	 * What the server rendered with: the hook goes on from its cursor.  Looked at when
	 * the topics are new, and after a gap; what a later render brings is in the stream
	 * as well.
	 */
	initial?: History<Data>
	/** Without `initial`: begin with the last N events of each topic.  Also after a gap. */
	replay?: number
	/** How many events of each topic to keep (100): 1 for a scoreboard. */
	keep?: number
	/** For each event after `initial`, once.  Need not be stable. */
	onEvent?: (event: FanfareEvent<Data>) => void
	/** Events are missing: the list was cleared, and with `replay` filled again. */
	onGap?: (gap: Gap) => void
}

export interface Live<Data = any> extends State {
	/** Oldest first, `initial` before the others. */
	events: FanfareEvent<Data>[]
	/** The newest. */
	latest: FanfareEvent<Data> | undefined
	/** The token does not allow one of the topics: which, and why.  The others go on. */
	refused?: string
}

/** Follow topics; null: none, yet.  Before hydration and on a server: `initial`. */
export function useFanfare<Data = any>(topics: string | readonly string[] | null,
	options?: UseOptions<Data>): Live<Data>

/** How the stream is. */
export function useFanfareStatus(): State

/** The connection itself; null on a server and during the first render. */
export function useFanfareClient(): Fanfare | null
