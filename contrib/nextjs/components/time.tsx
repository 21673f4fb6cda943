'use client'
// A time of day as the visitor's clock has it.  The server does not know their time zone:
// until the page has its own, it says nothing rather than something else.
import { useSyncExternalStore } from 'react'

const never = () => () => {}

export function Time({ of }: { of?: string }) {
  const isBrowser = useSyncExternalStore(never, () => true, () => false)

  if (!of) return null
  return <time dateTime={of}>{isBrowser && new Date(of).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}</time>
}
