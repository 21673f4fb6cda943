'use client'
// How the stream is.  When it is back after trouble, what the server has is read anew: an
// order that could not be announced meanwhile is not in the stream.
import { useRouter } from 'next/navigation'
import { useEffect, useRef } from 'react'
import { useFanfareStatus } from 'fanfare-client/react'

export function Connection() {
  const { status, detail } = useFanfareStatus()
  const router = useRouter()
  const wasLost = useRef(false)

  useEffect(() => {
    if (status === 'reconnecting' || status === 'polling') wasLost.current = true
    if (status !== 'live' || !wasLost.current) return
    wasLost.current = false
    router.refresh()
  }, [status, router])

  return <span className="connection" data-status={status} title={detail}>{status}</span>
}
