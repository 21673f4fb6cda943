// What is to be cooked.
import type { Metadata } from 'next'
import { fromHere } from '@/lib/live'
import { allOrders, KITCHEN } from '@/lib/orders'
import { currentUser } from '@/lib/session'
import { Wrong } from '@/components/wrong'
import { Board } from './board'

export const metadata: Metadata = { title: 'Kitchen' }

export default async function Page() {
  const user = await currentUser()
  if (user?.role !== 'kitchen') return <Wrong role="kitchen" />

  const initial = await fromHere(`kitchen/${KITCHEN}`)
  return <Board topic={`kitchen/${KITCHEN}`} orders={allOrders()} initial={initial} />
}
