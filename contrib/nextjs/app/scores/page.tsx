// Matches: rendered with what fanfare has, live from there.  No token, scores are public.
import type { Metadata } from 'next'
import { past } from '@/lib/live'
import { Scoreboard, type Match } from './scoreboard'

export const metadata: Metadata = { title: 'Scores' }
export const dynamic = 'force-dynamic'

export default async function Page() {
  return <Scoreboard initial={await past<Match>('scores/**', { replay: 1 })} />
}
