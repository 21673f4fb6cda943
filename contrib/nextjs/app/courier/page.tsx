// What is to be carried.
import type { Metadata } from 'next'
import { fromHere } from '@/lib/live'
import { allOrders } from '@/lib/orders'
import { currentUser } from '@/lib/session'
import { Wrong } from '@/components/wrong'
import { Jobs } from './jobs'

export const metadata: Metadata = { title: 'Courier' }

export default async function Page() {
  const user = await currentUser()
  if (user?.role !== 'courier') return <Wrong role="courier" />

  const initial = await fromHere(`user/${user.name}/notices`)
  const orders = allOrders().filter((o) => o.status === 'ready' || o.courier === user.name)
  return <Jobs user={user.name} orders={orders} initial={initial} />
}
