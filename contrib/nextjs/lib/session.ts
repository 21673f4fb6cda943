// A sign-in for the demonstration: a cookie with a name and a role, signed, and nobody asks
// for a password.  A real app has its own, and only currentUser() stays.
import 'server-only'
import { createHmac, timingSafeEqual } from 'node:crypto'
import { cookies } from 'next/headers'

export const ROLES = ['customer', 'kitchen', 'courier'] as const
export type Role = (typeof ROLES)[number]
export interface User {
  name: string
  role: Role
}

const COOKIE = 'session'

function sign(text: string) {
  const secret = process.env.SESSION_SECRET
  if (!secret) throw new Error('SESSION_SECRET is not set: npm run fanfare writes a .env.local with one')
  return createHmac('sha256', secret).update(text).digest('base64url')
}

export function userOf(cookie: string | undefined): User | null {
  const [text, signature] = cookie?.split('.') ?? []
  if (!text || !signature) return null
  const [theirs, ours] = [Buffer.from(signature), Buffer.from(sign(text))]
  if (theirs.length !== ours.length || !timingSafeEqual(theirs, ours)) return null
  return JSON.parse(Buffer.from(text, 'base64url').toString())
}

export async function currentUser() {
  return userOf((await cookies()).get(COOKIE)?.value)
}

export async function signInAs(user: User) {
  const text = Buffer.from(JSON.stringify(user)).toString('base64url')
  ;(await cookies()).set(COOKIE, `${text}.${sign(text)}`, { httpOnly: true, sameSite: 'lax', path: '/' })
}

export async function forgetUser() {
  ;(await cookies()).delete(COOKIE)
}
