'use client'
// Who signs out in one tab is signed out in all: no tab goes on hearing with their token.
import { useFanfareClient } from 'fanfare-client/react'
import { signOut } from '@/app/actions'

export function SignOut({ name }: { name: string }) {
  const live = useFanfareClient()

  return (
    <form action={signOut} onSubmit={() => live?.close({ everywhere: true })} className="who">
      <span>{name}</span>
      <button className="quiet">Sign out</button>
    </form>
  )
}
