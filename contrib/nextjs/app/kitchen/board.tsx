'use client'
import { useFanfare, type History } from 'fanfare-client/react'
import { StepButton } from '@/components/step-button'
import type { Order, Step } from '@/lib/orders'
import { furthest } from '@/lib/steps'

const COLUMNS: [string, Step[]][] = [
  ['New', ['placed']],
  ['Cooking', ['accepted']],
  ['Waiting for a courier', ['ready']],
  ['Gone', ['picked-up', 'delivered']],
]

export function Board({ topic, orders, initial }: { topic: string; orders: Order[]; initial?: History }) {
  const { events } = useFanfare<Order>(topic, { initial, keep: 1000 })
  const all = furthest(orders, events.map((e) => e.data))

  return (
    <>
      <h1>Kitchen</h1>
      {all.length === 0 && <p className="soft">No orders yet.</p>}
      <div className="board">
        {COLUMNS.map(([title, steps]) => (
          <section key={title}>
            <h2>{title}</h2>
            {all.filter((o) => steps.includes(o.status)).map((o) => (
              <article key={o.id} className="card ticket" data-order={o.id} data-status={o.status}>
                <header><b>{o.id}</b><span className="soft">{o.status === 'delivered' ? 'delivered' : o.courier ?? o.customer}</span></header>
                <ul>{o.items.map((item) => <li key={item}>{item}</li>)}</ul>
                {o.status === 'placed' && <StepButton id={o.id} to="accepted">Accept</StepButton>}
                {o.status === 'accepted' && <StepButton id={o.id} to="ready">Ready</StepButton>}
              </article>
            ))}
          </section>
        ))}
      </div>
    </>
  )
}
