// The frame of every page.  The provider stands here, so that moving between pages keeps
// the stream.
import type { Metadata, Viewport } from 'next'
import Link from 'next/link'
import type { ReactNode } from 'react'
import { FanfareProvider } from 'fanfare-client/react'
import { Connection } from '@/components/connection'
import { Nav } from '@/components/nav'
import { Notices } from '@/components/notices'
import { SignOut } from '@/components/sign-out'
import { currentUser } from '@/lib/session'
import './globals.css'

export const metadata: Metadata = { title: { default: 'Corner Kitchen', template: '%s | Corner Kitchen' } }
export const viewport: Viewport = { colorScheme: 'light dark' }

export default async function Layout({ children }: { children: ReactNode }) {
  const user = await currentUser()

  return (
    <html lang="en">
      <body>
        <FanfareProvider url={process.env.NEXT_PUBLIC_FANFARE_URL} user={user?.name ?? null} tokenUrl="/api/fanfare-token">
          <header className="top">
            <div className="wide">
              <Link className="brand" href="/">Corner Kitchen</Link>
              <Nav />
              <Connection />
              {user ? (
                <SignOut name={user.name} />
              ) : (
                <Link className="who quiet" href="/sign-in">Sign in</Link>
              )}
            </div>
          </header>
          {user && <Notices user={user.name} />}
          <main className="wide">{children}</main>
        </FanfareProvider>
      </body>
    </html>
  )
}
