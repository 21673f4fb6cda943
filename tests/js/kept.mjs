// kept.mjs - a server whose sockets somebody else keeps: systemd-socket-activate opens
// them, and a shell in the place of systemd starts the server again whenever it ends.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Program, Server, binary, until } from './harness.mjs';

const loop = `while :; do
	sh -c 'echo $$ >"$0.new" && mv "$0.new" "$0"; LISTEN_PID=$$ exec "$@"' "$@"
	sleep 0.1
done`;

// The process of that number is there, and no zombie.
function runs(pid) {
	try {
		return !/^State:\tZ/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
	} catch {
		return false;
	}
}

export class KeptServer extends Server {
	get pid() {
		return Number(fs.readFileSync(this.pidFile, 'utf8'));
	}

	async start() {
		if (this.keeper === undefined) {
			this.pidFile = path.join(this.dir, 'pid');
			this.keeper = new Program('keeper', 'systemd-socket-activate', ['-l', `127.0.0.1:${this.port}`, '-l', this.socket,
				'sh', '-c', loop, 'sh', this.pidFile, binary, ...this.args]);
			this.keeper.start();
			// It begins with the first that comes.
			await until('the keeper listens', () => new Promise((resolve) => {
				const s = net.connect(this.port, '127.0.0.1', () => { s.destroy(); resolve(true); }).on('error', () => resolve(false));
			}));
		}
		await until(`the server is healthy: ${this.keeper.said().slice(-500)}`, () =>
			fetch(`http://127.0.0.1:${this.adminPort}/healthz`).then((r) => r.ok, () => false));
	}

	// Ends the server alone; the next one begins by itself.
	async end(signal = 'SIGKILL') {
		const { pid } = this;

		process.kill(pid, signal);
		await until('it has ended', () => !runs(pid));
	}

	async restart(signal) {
		await this.end(signal);
		await this.start();
	}

	async kill() {
		await this.keeper.kill('SIGKILL');
		if (runs(this.pid))
			await this.end();
	}
}
