// payloads.mjs - texts that a stream could spoil (E3), and how each must be read.
export const PAYLOADS = ['', ' ', ' a', 'a ', '\n', '\r', '\r\n', '\n\r', '\r\r\n\n', 'a\rb\nc\r\nd', 'a\n', 'data: x\n\nevent: y', 'id: 1\rretry: 0', ':', ': hb',
	'\ufeff', '\ufeffa', 'a\u2028b\u2029c\u0085d\u000be\u000cf', '\t', '\u00e9\ud83c\udf89', '\x01\x1f\x7f', 'fanfare.live', '0', 'null', 'x'.repeat(60000)];

export const asRead = (data) => data.replace(/\r\n?/g, '\n');
