import Link from 'next/link'

export function Wrong({ role }: { role: string }) {
  return <><h1>For the {role} only</h1><p className="soft"><Link href="/sign-in">Sign in</Link> as somebody of the {role}.</p></>
}
