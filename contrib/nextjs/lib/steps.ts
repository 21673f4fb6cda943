// What pages make of orders that they were rendered with and events that came since.
import type { Order, Step } from './orders'

export const STEPS: Step[] = ['placed', 'accepted', 'ready', 'picked-up', 'delivered']

export const LABELS: Record<Step, string> = {
  placed: 'Placed',
  accepted: 'In the kitchen',
  ready: 'Ready',
  'picked-up': 'On its way',
  delivered: 'Delivered',
}

/** Each order once, as far as anybody has seen it. */
export function furthest(...lists: Order[][]): Order[] {
  const byId = new Map<string, Order>()

  for (const order of lists.flat()) {
    const known = byId.get(order.id)
    if (!known || STEPS.indexOf(order.status) > STEPS.indexOf(known.status)) byId.set(order.id, order)
  }
  return [...byId.values()]
}
