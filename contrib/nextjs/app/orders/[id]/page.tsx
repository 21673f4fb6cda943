// One order, for who placed it.
import { notFound } from 'next/navigation'
import { past } from '@/lib/live'
import { orderOf, type Order } from '@/lib/orders'
import { currentUser } from '@/lib/session'
import { OrderView } from './order-view'

export async function generateMetadata({ params }: PageProps<'/orders/[id]'>) {
  return { title: `Order ${(await params).id}` }
}

export default async function Page({ params }: PageProps<'/orders/[id]'>) {
  const { id } = await params
  const user = await currentUser()

  if (!user || (orderOf(id)?.customer !== user.name && user.role !== 'kitchen')) notFound()
  const initial = await past<Order>(`order/${id}`, { replay: 10 })
  return <OrderView order={orderOf(id)!} initial={initial} />
}
