'use client'
// What concerns the user, on whatever page they are.
import { useEffect, useState } from 'react'
import { useFanfare } from 'fanfare-client/react'

export function Notices({ user }: { user: string }) {
  const [notice, setNotice] = useState<{ id: string; text: string } | null>(null)

  useFanfare<{ text: string }>(`user/${user}/notices`, {
    onEvent: (event) => setNotice({ id: event.id, text: event.data.text }),
  })
  useEffect(() => {
    if (!notice) return
    const timer = setTimeout(() => setNotice(null), 6000)
    return () => clearTimeout(timer)
  }, [notice])

  return <div className="notices" role="status">{notice && <p key={notice.id}>{notice.text}</p>}</div>
}
