// The signed-in user's token: their own topics by the server's rule user/{sub}/**, others
// by a grant for what they may see.  Asked for whenever the page connects, so that it
// knows the newest order.
import { mintToken } from 'fanfare-client/server'
import { KITCHEN, ordersOf } from '@/lib/orders'
import { currentUser } from '@/lib/session'

export async function GET() {
  const user = await currentUser()
  if (!user) return new Response(null, { status: 204 })

  const subscribe = user.role === 'kitchen' ? [`kitchen/${KITCHEN}`, 'order/*']
    : user.role === 'customer' ? ordersOf(user.name).map((order) => `order/${order.id}`)
    : []
  return new Response(await mintToken({ sub: user.name, subscribe }), { headers: { 'cache-control': 'no-store' } })
}
