// tokens.mjs - ES256 tokens for subscribers, each another one.
import { generateKeyPairSync, sign } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

const text = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// Writes `n` tokens, one a line, and the public key into `dir`; names the files.
export function mint(dir, n) {
	const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
	const exp = Math.floor(Date.now() / 1000) + 24 * 3600;
	const head = text({ alg: 'ES256', typ: 'JWT' });
	const files = { tokens: path.join(dir, 'tokens'), key: path.join(dir, 'token-key.pem') };
	const lines = [];

	for (let i = 0; i < n; i++) {
		const signed = `${head}.${text({ sub: `user-${i}`, exp,
			fanfare: { subscribe: ['**'] } })}`;
		const signature = sign('sha256', Buffer.from(signed),
			{ key: privateKey, dsaEncoding: 'ieee-p1363' });
		lines.push(`${signed}.${signature.toString('base64url')}\n`);
	}
	fs.writeFileSync(files.tokens, lines.join(''), { mode: 0o600 });
	fs.writeFileSync(files.key, publicKey.export({ type: 'spki', format: 'pem' }));
	return files;
}
