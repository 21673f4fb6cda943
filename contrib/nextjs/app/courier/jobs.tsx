'use client'
import { useFanfare, type History } from 'fanfare-client/react'
import { StepButton } from '@/components/step-button'
import type { Order } from '@/lib/orders'
import { furthest, LABELS } from '@/lib/steps'

export function Jobs({ user, orders, initial }: { user: string; orders: Order[]; initial?: History }) {
  const { events } = useFanfare<{ order: Order }>(`user/${user}/notices`, { initial })
  const mine = furthest(orders, events.map((e) => e.data.order))
    .filter((o) => o.status === 'ready' || o.courier === user)
    .reverse()

  return (
    <>
      <h1>Jobs</h1>
      {mine.length === 0 && <p className="soft">Nothing to carry. This page tells you when there is.</p>}
      <ul className="card lines" hidden={mine.length === 0}>
        {mine.map((o) => (
          <li key={o.id} data-order={o.id} data-status={o.status}>
            <span><b>{o.id}</b><small>{o.items.join(', ')}, for {o.customer}</small></span>
            {o.status === 'ready' ? <StepButton id={o.id} to="picked-up">Pick up</StepButton>
              : o.status === 'picked-up' ? <StepButton id={o.id} to="delivered">Delivered</StepButton>
              : <span className="badge" data-status={o.status}>{LABELS[o.status]}</span>}
          </li>
        ))}
      </ul>
    </>
  )
}
