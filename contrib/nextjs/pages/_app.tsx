// The frame of pages of the Pages Router.
import type { AppProps } from 'next/app'
import { FanfareProvider } from 'fanfare-client/react'
import '@/app/globals.css'

export default function App({ Component, pageProps }: AppProps) {
  return (
    <FanfareProvider url={process.env.NEXT_PUBLIC_FANFARE_URL} tokenUrl="/api/fanfare-token">
      <Component {...pageProps} />
    </FanfareProvider>
  )
}
