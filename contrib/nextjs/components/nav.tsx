'use client'
import Link from 'next/link'
import { usePathname } from 'next/navigation'

const PAGES = [['/', 'Menu'], ['/kitchen', 'Kitchen'], ['/courier', 'Courier'], ['/scores', 'Scores']]

export function Nav() {
  const path = usePathname()

  return (
    <nav>
      {PAGES.map(([href, name]) => (
        <Link key={href} href={href} aria-current={path === href ? 'page' : undefined}>{name}</Link>
      ))}
    </nav>
  )
}
