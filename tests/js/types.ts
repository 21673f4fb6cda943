// types.ts - what users write against contrib/js/*.d.ts; compiled by package.mjs, never run.
//
// A line under @ts-expect-error is one that must not compile.
import { Fanfare, covers } from 'fanfare-client'
import type { FanfareEvent, Handler, Handlers, History, State } from 'fanfare-client'
import { FanfareError, Publisher, history, mintToken, publish, revoke, streams } from 'fanfare-client/server'
import { useFanfare, useFanfareClient, useFanfareStatus } from 'fanfare-client/react'

const live = new Fanfare('https://live.example.org', { token: async () => (await fetch('/token')).text() })
function show(data: { home: number }) { return data.home }
interface Events { goal: { home: number }; off: null }

// Untyped: any name, any data.
const stop = live.on('scores/7', e => show(e.data))
live.on('scores/7', { goal: e => show(e.data) })
live.on('scores/7', { goal(e) { show(e.data) }, off: () => {}, '*': e => e.event })
live.on('scores/7', { goal: show.length > 1 ? e => show(e.data) : undefined }, { after: stop() })
// @ts-expect-error an event has no such field
live.on('scores/7', { goal: e => e.datum })
// @ts-expect-error a handler is a function
live.on('scores/7', { goal: 'show' })
// @ts-expect-error there is no such option
live.on('scores/7', { goal: e => show(e.data) }, { replays: 1 })
// @ts-expect-error not each event has a name
live.on('scores/7', e => e.event.length)

// By name, with data of its own.
live.on<Events>(['scores/7', 'scores/8'], {
	goal: e => { const name: 'goal' = e.event; return show(e.data) + name.length },
	off: e => { const nothing: null = e.data; return nothing },
	'*': e => { const name: string | null = e.event; return name },
})
// @ts-expect-error data without such a field
live.on<Events>('scores/7', { goal: e => e.data.away })
// @ts-expect-error no event of that name
live.on<Events>('scores/7', { gaol: () => {} })
// @ts-expect-error not the data of that event
live.on<Events>('scores/7', { off: (e: FanfareEvent<string, 'off'>) => e.data })
const handlers: Handlers<Events> = { goal: e => show(e.data) }
live.on('scores/7', handlers)

// Any name, the same data.
live.on<Record<string, { home: number }>>('scores/7', { goal: e => show(e.data), '*': e => show(e.data) })
// @ts-expect-error data without such a field
live.on<Record<string, { home: number }>>('scores/7', { goal: e => e.data.away })
const one: Handler<{ home: number }> = e => show(e.data)
live.on('scores/7', { goal: one, '*': one })

live.watch(({ status, reason }) => status === 'polling' || reason === 'drain')
// @ts-expect-error no such status
live.watch(({ status }) => status === 'open')
// @ts-expect-error a state is replaced, never changed
live.state.status = 'closed'
live.close({ everywhere: covers('scores/*', 'scores/7') })

const { id } = await publish('order/7', { state: 'ready' }, { event: 'state', idempotencyKey: 'order-7-ready' })
const { ids } = await publish([{ topic: 'order/7', data: id }], { idempotencyKey: 'order-7-batch' })
// @ts-expect-error a batch has an event for each
await publish([{ topic: 'order/7', data: ids }], { event: 'state' })
// @ts-expect-error null is data, nothing is not
await publish('order/7')
await revoke({ sub: '42', issuer: 'clerk' })
// @ts-expect-error one or the other
await revoke({ sub: '42', jti: 'one' })
// @ts-expect-error not the user's name alone
await streams('42')
await mintToken({ sub: '42', subscribe: ['order/7'] as const, role: 'cook' }, { audience: 'orders' })
await new Publisher({ url: 'https://live.example.org', timeout: 1500 }).publish('order/7', null)
	.catch((e: unknown) => e instanceof FanfareError && [e.status, e.code, e.ref])

export function Order({ initial }: { initial: History<{ home: number }> }) {
	const { latest, events, refused } = useFanfare<{ home: number }>('scores/7', { initial, keep: 1 })
	const state: State = useFanfareStatus()

	useFanfareClient()?.close()
	// @ts-expect-error there may be none yet
	show(latest.data)
	return events.map(e => show(e.data)) && (refused ?? state.detail)
}
Order({ initial: await history<{ home: number }>(['scores/7'], { replay: 1 }) })
