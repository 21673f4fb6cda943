// Follow an order by its number: a page of the Pages Router that knows nothing but what
// the visitor's token opens.
import Head from 'next/head'
import { useRouter } from 'next/router'
import { useFanfare } from 'fanfare-client/react'
import { Time } from '@/components/time'
import type { Order } from '@/lib/orders'
import { LABELS } from '@/lib/steps'

export default function Track() {
  const router = useRouter()
  const id = typeof router.query.order === 'string' ? router.query.order : ''
  const { events, refused, status } = useFanfare<Order>(id ? `order/${id}` : null, { replay: 10 })

  return (
    <main className="wide narrow">
      <Head><title>Track an order</title></Head>
      <h1>Track an order</h1>
      <form className="track" key={id}>
        <input name="order" defaultValue={id} placeholder="Order number" required pattern="[A-Z0-9]+" />
        <button>Track</button>
      </form>
      {refused && <p className="refused">This order is not yours to follow.</p>}
      {id && !refused && (
        <ol className="card lines" data-status={status}>
          {events.map((e) => <li key={e.id}><b>{LABELS[e.data.status]}</b><Time of={e.time} /></li>)}
          {events.length === 0 && <li className="soft">Nothing yet</li>}
        </ol>
      )}
      <p><a href="/">Back to the menu</a></p>
    </main>
  )
}
