'use server'
// What people do.  Each changes the app's own data first, then tells those who watch.
import { refresh } from 'next/cache'
import { redirect } from 'next/navigation'
import { publish } from 'fanfare-client/server'
import { announceOrder, past } from '@/lib/live'
import { advanceOrder, couriers, MENU, placeOrder, type Step } from '@/lib/orders'
import { currentUser, forgetUser, ROLES, signInAs, type Role } from '@/lib/session'
import type { Match } from './scores/scoreboard'

export async function signIn(form: FormData) {
  const name = String(form.get('name')).trim().toLowerCase()
  const role = String(form.get('role')) as Role

  // The name becomes a part of topics: no slashes, no stars.
  if (!/^[a-z0-9-]{1,30}$/.test(name) || !ROLES.includes(role)) redirect('/sign-in?wrong=1')
  await signInAs({ name, role })
  if (role === 'courier') couriers.add(name)
  redirect(role === 'customer' ? '/' : `/${role}`)
}

export async function signOut() {
  const user = await currentUser()
  if (user) couriers.delete(user.name)
  await forgetUser()
  redirect('/sign-in')
}

export async function order(form: FormData) {
  const user = await currentUser()
  const items = form.getAll('item').map(String).filter((name) => MENU.some((m) => m.name === name))

  if (!user) redirect('/sign-in')
  if (items.length === 0) redirect('/')
  const placed = placeOrder(user.name, items)
  announceOrder(placed)
  redirect(`/orders/${placed.id}`)
}

export async function advance(id: string, to: Step) {
  const user = await currentUser()
  const by = to === 'accepted' || to === 'ready' ? 'kitchen' : 'courier'

  if (user?.role !== by) throw new Error(`only the ${by} may do that`)
  const changed = advanceOrder(id, to, by === 'courier' ? user.name : undefined)
  if (changed) announceOrder(changed)
  // The own page shows it even if nobody could be told.
  refresh()
}

/** A goal in a match that exists in fanfare alone: its newest event is its score. */
export async function scoreGoal(side: 0 | 1) {
  const match = await past<Match>('scores/house', { replay: 1 })
  const score = match?.events.at(-1)?.data.score ?? [0, 0]

  await publish('scores/house', {
    stage: 'House match', home: { name: 'Kitchen' }, away: { name: 'Couriers' }, status: 'live',
    score: score.map((goals, i) => (i === side ? goals + 1 : goals)),
  }, { event: 'goal' })
}
