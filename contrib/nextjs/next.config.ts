import type { NextConfig } from 'next'

const config: NextConfig = {
  // The root is here, whatever lock files lie in the directories above.
  turbopack: { root: import.meta.dirname },
  // Only for a site that cannot let browsers reach fanfare itself: the stream then runs
  // through Next.  A serverless host would end it every few minutes.
  rewrites: async () => process.env.FANFARE_REWRITE
    ? [{ source: '/live/:path*', destination: `${process.env.FANFARE_REWRITE}/:path*` }]
    : [],
}

export default config
