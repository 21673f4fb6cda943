// fanfare.mjs - the server for this app (npm run fanfare): who may see what, and the
// secrets that the two share.  The first run makes those, in .env.local.
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'

const here = import.meta.dirname
const file = join(here, '.env.local')
const binary = [process.env.FANFARE_BIN, join(here, '../../fanfare'), join(here, '../../build/run/fanfare')]
  .find((path) => path && existsSync(path)) ?? 'fanfare'
const url = process.env.FANFARE_URL ?? 'http://localhost:8080'

if (!existsSync(file))
  writeFileSync(file, `# made by npm run fanfare
NEXT_PUBLIC_FANFARE_URL=${url}
FANFARE_URL=${url}
FANFARE_API_KEY=${execFileSync(binary, ['key']).toString().trim()}
FANFARE_AUTH_KEY=${randomBytes(32).toString('hex')}
SESSION_SECRET=${randomBytes(32).toString('hex')}
`, { mode: 0o600 })

const env = parseEnv(readFileSync(file, 'utf8'))
const data = join(here, '.fanfare')
mkdirSync(data, { recursive: true })

const server = spawn(binary, ['serve',
  `--server.listen=${new URL(env.FANFARE_URL).host}`,
  '--server.admin_listen=off',
  `--store.path=${join(data, 'fanfare.db')}`,
  '--server.cors_origins=http://localhost:3000, http://127.0.0.1:3000',
  '--topics.public=scores/**',
  '--topics.authenticated=user/{sub}/**',
], {
  stdio: 'inherit',
  // Secrets in the environment, where other users of this machine do not see them.
  env: { PATH: process.env.PATH, FANFARE_AUTH_API_KEYS: `nextjs:${env.FANFARE_API_KEY}`, FANFARE_AUTH_KEY: env.FANFARE_AUTH_KEY },
})
server.on('error', (error) => {
  console.error(`${binary}: ${error.message}.  Where is fanfare?  Build it (contrib/start), or set FANFARE_BIN.`)
  process.exitCode = 1
})
server.on('exit', (code) => { process.exitCode ??= code ?? 0 })
for (const signal of ['SIGINT', 'SIGTERM'])
  process.on(signal, () => server.kill(signal))
