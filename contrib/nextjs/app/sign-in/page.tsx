// Who is there.  No passwords: it is a demonstration (lib/session.ts).
import type { Metadata } from 'next'
import { signIn } from '../actions'

export const metadata: Metadata = { title: 'Sign in' }

export default async function Page({ searchParams }: PageProps<'/sign-in'>) {
  const { wrong } = await searchParams

  return (
    <form action={signIn} className="card sign-in">
      <h1>Sign in</h1>
      <p className="soft">To try it, sign in as three people in three browser windows (private ones keep them apart).</p>
      <label>
        Name
        <input name="name" required pattern="[A-Za-z0-9\-]{1,30}" title="letters, digits and -" autoComplete="off" autoFocus />
      </label>
      <fieldset>
        <legend>I am</legend>
        <label><input type="radio" name="role" value="customer" defaultChecked /> hungry</label>
        <label><input type="radio" name="role" value="kitchen" /> in the kitchen</label>
        <label><input type="radio" name="role" value="courier" /> a courier</label>
      </fieldset>
      {wrong && <p className="refused">A name has letters, digits and dashes.</p>}
      <button>Sign in</button>
    </form>
  )
}
