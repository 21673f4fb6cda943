// What the server side says to fanfare, and asks it.  Neither may break the app: an order
// counts when it is in the app's own data, heard or not.
import 'server-only'
import { after } from 'next/server'
import { Publisher, type History, type HistoryOptions, type NewEvent } from 'fanfare-client/server'
import { couriers, KITCHEN, type Order } from './orders'

const publisher = new Publisher()
// A page should not wait long for its extras.
const hasty = new Publisher({ timeout: 1500 })

/** Publishes once the answer has gone out, all or nothing; repeats by itself for seconds. */
export function announce(events: NewEvent[]) {
  after(() => publisher.publish(events).catch((error) => console.error('not announced:', error)))
}

export function announceOrder(order: Order) {
  const notices: Partial<Record<Order['status'], [string[], string]>> = {
    accepted: [[order.customer], `Order ${order.id} is in the kitchen`],
    ready: [[...couriers], `Order ${order.id} is ready to pick up`],
    'picked-up': [[order.customer, ...couriers], `Order ${order.id} is on its way with ${order.courier}`],
    delivered: [[order.customer, ...couriers], `Order ${order.id} has been delivered`],
  }
  const [people, text] = notices[order.status] ?? [[], '']

  announce([
    { topic: `order/${order.id}`, event: order.status, data: order },
    { topic: `kitchen/${KITCHEN}`, event: order.status, data: order },
    ...people.map((name) => ({ topic: `user/${name}/notices`, event: order.status, data: { text, order } })),
  ])
}

/** Events for the first paint, and the cursor from which the page goes on. */
export async function past<Data>(topics: string | string[], options: HistoryOptions): Promise<History<Data> | undefined> {
  return hasty.history<Data>(topics, options).catch((error) => {
    console.error('no first paint from fanfare:', error)
    return undefined
  })
}

/**
 * Where a page's data is the app's own: ask for this first and read the data second, and
 * what happens in between is in the stream.
 */
export async function fromHere(topics: string | string[]): Promise<History | undefined> {
  const history = await past(topics, { replay: 1 })
  return history && { ...history, events: [] }
}
