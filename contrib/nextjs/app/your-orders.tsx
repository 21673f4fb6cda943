'use client'
import Link from 'next/link'
import { useFanfare, type History } from 'fanfare-client/react'
import type { Order } from '@/lib/orders'
import { furthest, LABELS } from '@/lib/steps'

export function YourOrders({ orders, initial }: { orders: Order[]; initial?: History }) {
  const { events, refused } = useFanfare<Order>(orders.map((o) => `order/${o.id}`), { initial, keep: 1 })

  return (
    <section>
      <h2>Your orders</h2>
      {refused && <p className="refused">Not followed: {refused}</p>}
      <ul className="card lines">
        {furthest(orders, events.map((e) => e.data)).reverse().map((o) => (
          <li key={o.id}>
            <Link href={`/orders/${o.id}`}><b>{o.id}</b><small>{o.items.join(', ')}</small></Link>
            <span className="badge" data-status={o.status}>{LABELS[o.status]}</span>
          </li>
        ))}
      </ul>
    </section>
  )
}
