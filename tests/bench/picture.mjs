// picture.mjs - the results as bars, in SVG.
//
// Bars begin at zero and are as long as what they show: no logarithms.
import { amount, digits } from './report.mjs';
import { SERVERS } from './servers.mjs';

const WIDTH = 760;
const LEFT = 130;	// names of servers
const RIGHT = 120;	// numbers behind the bars
const BAR = 20;
const STEP = 27;
const COLOURS = { fanfare: '#d9480f', floor: '#adb5bd' };
const OTHERS = '#4c6ef5';

const PANELS = [{
	title: 'CPU per delivery, one event at a time to 5,000 streams',
	note: 'microseconds of the server; shorter is better',
	row: 'one-5000', get: (j) => j.cpu_ns_per_delivery / 1000, show: (v) => `${digits(v)} µs`,
}, {
	title: 'Deliveries per second, 16 publishes under way to 5,000 streams',
	note: 'longer is better',
	row: 'many-16', get: (j) => j.deliveries_per_s, show: amount,
}, {
	title: 'Resident memory per idle stream',
	note: 'shorter is better; what the kernel holds for a socket comes on top',
	row: 'idle-15000', get: (j) => j.rss_per_stream / 1000, show: (v) => `${digits(v)} kB`,
}];

const escape = (s) => s.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function text(x, y, kind, content) {
	return `<text x="${x}" y="${y}" class="${kind}">${escape(content)}</text>`;
}

function panel(results, p, top) {
	const bars = Object.keys(SERVERS)
		.map((server) => ({ server, value: results.median(p.row, server, p.get) }))
		.filter((b) => Number.isFinite(b.value));
	const most = Math.max(...bars.map((b) => b.value));
	const lines = [text(16, top + 22, 'title', p.title), text(16, top + 40, 'note', p.note)];
	let y = top + 52;

	if (bars.length === 0)
		return { lines: [], height: 0 };
	for (const b of bars) {
		const length = Math.max(2, b.value / most * (WIDTH - LEFT - RIGHT));
		const kind = b.server === 'fanfare' ? 'name us' : 'name';
		lines.push(text(LEFT - 10, y + 15, kind, SERVERS[b.server].label),
			`<rect x="${LEFT}" y="${y}" width="${length.toFixed(1)}" height="${BAR}" rx="2" ` +
			`fill="${COLOURS[b.server] ?? OTHERS}"/>`,
			text((LEFT + length + 8).toFixed(1), y + 15, 'value', p.show(b.value)));
		y += STEP;
	}
	return { lines, height: y - top + 12 };
}

// null when this run has measured nothing of it.
export function picture(results) {
	const { machine: m, versions: v, date } = results.about;
	const lines = [];
	let top = 6;

	for (const p of PANELS) {
		const drawn = panel(results, p, top);
		lines.push(...drawn.lines);
		top += drawn.height;
	}
	if (lines.length === 0)
		return null;
	lines.push(text(16, top + 18, 'note', `fanfare ${v.fanfare}, nginx ${v.nginx} with nchan, ` +
		`Node.js ${v.node}; ${m.cpu}, ${m.cores} cores, the load generator beside; ` +
		date.slice(0, 10)),
	text(16, top + 34, 'note',
		'floor: a program that does nothing but send.  fanfare stores every event ' +
		'with an fsync before it sends it; the others do not.'));
	const height = top + 48;
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" ` +
		`width="${WIDTH}" height="${height}" role="img" aria-label="fanfare and its peers">
<style>
text { font-family: "DejaVu Sans", Verdana, Helvetica, Arial, sans-serif; fill: #212529 }
.title { font-size: 15px; font-weight: bold }
.note { font-size: 11px; fill: #495057 }
.name { font-size: 13px; text-anchor: end }
.us { font-weight: bold }
.value { font-size: 13px }
</style>
<rect width="100%" height="100%" fill="#fff"/>
${lines.join('\n')}
</svg>
`;
}
