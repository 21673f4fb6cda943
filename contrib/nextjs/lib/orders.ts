// The app's own data: what was ordered, and how far it is.  In the memory of this process,
// which is enough for a demonstration; a real app has a database here.

export const STEPS = ['placed', 'accepted', 'ready', 'picked-up', 'delivered'] as const
export type Step = (typeof STEPS)[number]

export interface Order {
  id: string
  customer: string
  items: string[]
  total: number
  status: Step
  courier?: string
}

export const KITCHEN = 'corner'

export const MENU = [
  { name: 'Tomato soup', price: 6.5, note: 'with basil oil and sourdough' },
  { name: 'Mushroom risotto', price: 13, note: 'porcini, thyme, old parmesan' },
  { name: 'Grilled sea bream', price: 18.5, note: 'fennel, lemon, new potatoes' },
  { name: 'Lemon tart', price: 7, note: 'the sharp kind' },
]

// On globalThis, because Next loads this file once for pages and once for actions.
const app = globalThis as unknown as { orders?: Map<string, Order>; couriers?: Set<string> }
const orders = (app.orders ??= new Map())
export const couriers = (app.couriers ??= new Set())

export const allOrders = (): Order[] => [...orders.values()]
/** The newest: a page follows all that it shows, and a token has only so much room. */
export const ordersOf = (customer: string) => allOrders().filter((o) => o.customer === customer).slice(-50)
export const orderOf = (id: string) => orders.get(id)

export function placeOrder(customer: string, items: string[]): Order {
  const id = crypto.randomUUID().slice(0, 6).toUpperCase()
  const total = items.reduce((sum, name) => sum + (MENU.find((m) => m.name === name)?.price ?? 0), 0)
  const order: Order = { id, customer, items, total, status: 'placed' }

  orders.set(id, order)
  return order
}

/** One step on; undefined if it is not the order's next step. */
export function advanceOrder(id: string, to: Step, courier?: string): Order | undefined {
  const order = orders.get(id)

  if (!order || STEPS.indexOf(to) !== STEPS.indexOf(order.status) + 1) return undefined
  const next = { ...order, status: to, ...(courier && { courier }) }
  orders.set(id, next)
  return next
}
