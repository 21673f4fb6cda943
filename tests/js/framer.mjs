// E2: what sse.c writes, read back by a parser that is not ours.
// usage: node framer.mjs path/to/framer_dump [COUNT [SEED]]
import { spawn } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import { createParser } from 'eventsource-parser';

const [dump, count = '20000', seed = '1'] = process.argv.slice(2);
const expected = [];
let compared = 0;

function fail(why, ...more) {
  console.error(`framer: seed ${seed}, event ${compared}: ${why}`, ...more);
  process.exit(1);
}

const parser = createParser({
  onEvent({ id = null, event: name = null, data }) {
    const want = expected.shift();
    let got = { id, name, data };
    if (want === undefined) fail('an event too many', got);
    if ('ms' in want) {         // an envelope
      try { Object.assign(got, JSON.parse(data)); } catch (e) { fail(e.message, data); }
      if (got.id !== id) fail('two ids', got);
      want.time = new Date(want.ms).toISOString();
      delete want.ms;
    }
    if (!isDeepStrictEqual(got, want)) fail('mismatch', { want, got });
    compared++;
  },
  onError: (e) => fail('parser error', e),
  onComment: (c) => fail('a comment', c),
  onRetry: (ms) => fail('a retry', ms),
});

let state = Number(seed) >>> 0;
const draw = (below) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
const decoder = new TextDecoder('utf-8', { fatal: true });
function feed(bytes) {          // in chunks of any size, cut anywhere
  for (let at = 0, n; at < bytes.length; at += n) {
    n = 1 + (draw(1 << 16) >> 8) % (draw(1 << 16) > 60000 ? 5 : 250);
    parser.feed(decoder.decode(bytes.subarray(at, at + n), { stream: true }));
  }
}

const child = spawn(dump, [seed, count], { stdio: ['ignore', 'pipe', 'inherit'] });
const done = new Promise((resolve) => child.on('close', resolve));
let rest = Buffer.alloc(0), isBlock = false;
for await (const chunk of child.stdout) {
  rest = Buffer.concat([rest, chunk]);
  const blocks = [];
  for (let n; rest.length >= 4 && rest.length >= (n = 4 + rest.readUInt32LE(0)); rest = rest.subarray(n)) {
    const record = rest.subarray(4, n);
    if (isBlock) blocks.push(record);
    else expected.push(JSON.parse(record));
    isBlock = !isBlock;
  }
  feed(Buffer.concat(blocks));
}
const status = await done;
if (status !== 0) fail(`the dump ended with ${status}`);
if (compared !== Number(count) || expected.length !== 0) fail(`only ${compared} of ${count} arrived`);
console.log(`framer: ${compared} events compared, seed ${seed}`);
