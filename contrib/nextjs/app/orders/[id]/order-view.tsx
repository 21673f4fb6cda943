'use client'
import { useFanfare, type History } from 'fanfare-client/react'
import { Time } from '@/components/time'
import type { Order } from '@/lib/orders'
import { furthest, LABELS, STEPS } from '@/lib/steps'

export function OrderView({ order, initial }: { order: Order; initial?: History<Order> }) {
  // Its history comes from fanfare; how far it is, from the app or an event, whoever
  // knows more.
  const { events, refused } = useFanfare<Order>(`order/${order.id}`, { initial, replay: 10 })
  const [now] = furthest([order], events.map((e) => e.data))
  const reached = STEPS.indexOf(now.status)

  return (
    <>
      <h1>Order {order.id}</h1>
      {refused && <p className="refused">Not followed: {refused}</p>}
      <p className="soft">{now.items.join(', ')}. {now.total.toFixed(2)} in all{now.courier && `, brought by ${now.courier}`}.</p>
      <ol className="card steps" data-status={now.status}>
        {STEPS.map((step, i) => (
          <li key={step} data-is={i < reached ? 'done' : i === reached ? 'now' : 'next'}>
            <span>{LABELS[step]}</span>
            <Time of={events.find((e) => e.event === step)?.time} />
          </li>
        ))}
      </ol>
    </>
  )
}
