'use client'
import { useTransition } from 'react'
import { useRouter } from 'next/navigation'
import { useFanfare, type History } from 'fanfare-client/react'
import { scoreGoal } from '../actions'

/** As contrib/demo-feed publishes it: each event is the whole match. */
export interface Match {
  stage: string
  home: { name: string }
  away: { name: string }
  status: string
  minute?: string
  score: [number, number]
}

const placeOf = (m: Match) => (m.status === 'before' ? 2 : m.status === 'full-time' ? 1 : 0)
const clock = ({ status, minute }: Match) => (status === 'full-time' ? 'FT' : minute && status !== 'before' ? `${minute}'` : '')

export function Scoreboard({ initial }: { initial?: History<Match> }) {
  const router = useRouter()
  const [isPending, start] = useTransition()
  const { events } = useFanfare<Match>('scores/**', { initial, replay: 1, keep: 1, onGap: () => router.refresh() })
  const matches = events.filter((e) => e.data?.home?.name && e.data.score).reverse()

  return (
    <>
      <h1>Scores</h1>
      <p className="try">
        <span className="soft">Play along: the house match.</span>
        <button disabled={isPending} onClick={() => start(() => scoreGoal(0))}>Goal for the kitchen</button>
        <button disabled={isPending} onClick={() => start(() => scoreGoal(1))}>Goal for the couriers</button>
      </p>
      {matches.length === 0 && <p className="soft">No match yet. contrib/demo-feed plays a tournament to your server.</p>}
      <ul className="matches">
        {matches.sort((a, b) => placeOf(a.data) - placeOf(b.data)).map(({ id, topic, data: m }) => (
          <li key={topic} className="card match" data-topic={topic} data-status={m.status}>
            <small>{m.stage}<i>{clock(m)}</i></small>
            <span>{m.home.name}</span>
            <b key={id}>{m.score.join(' : ')}</b>
            <span>{m.away.name}</span>
          </li>
        ))}
      </ul>
    </>
  )
}
