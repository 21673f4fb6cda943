// The menu, and the visitor's orders.
import { fromHere } from '@/lib/live'
import { MENU, ordersOf } from '@/lib/orders'
import { currentUser } from '@/lib/session'
import { order } from './actions'
import { YourOrders } from './your-orders'

export default async function Page() {
  const user = await currentUser()
  const orders = user ? ordersOf(user.name) : []
  const initial = orders.length > 0 ? await fromHere(orders.map((o) => `order/${o.id}`)) : undefined

  return (
    <>
      <h1>What would you like?</h1>
      <form action={order} className="card menu">
        {MENU.map((item) => (
          <label key={item.name}>
            <input type="checkbox" name="item" value={item.name} />
            <span><b>{item.name}</b><small>{item.note}</small></span>
            <span className="price">{item.price.toFixed(2)}</span>
          </label>
        ))}
        <div className="foot"><button>Order</button></div>
      </form>
      {user && orders.length > 0 && <YourOrders orders={ordersOf(user.name)} initial={initial} />}
    </>
  )
}
