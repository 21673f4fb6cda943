'use client'
import { useFormStatus } from 'react-dom'
import { advance } from '@/app/actions'
import type { Step } from '@/lib/orders'

function Button({ children }: { children: string }) {
  const { pending } = useFormStatus()
  return <button disabled={pending}>{children}</button>
}

export function StepButton({ id, to, children }: { id: string; to: Step; children: string }) {
  return <form action={advance.bind(null, id, to)}><Button>{children}</Button></form>
}
