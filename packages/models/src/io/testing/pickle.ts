// Pickles in pieces of text, of which each character is a byte.

export const bytesOf = (...parts: string[]): Uint8Array<ArrayBuffer> => Uint8Array.from(parts.join(''), (character) => character.charCodeAt(0));

const u32 = (n: number) => String.fromCharCode(n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >> 24) & 255);
export const PROTO = '\x80\x02';
export const text = (value: string) => `X${u32(value.length)}${value}`;
export const int = (value: number) => `J${u32(value)}`;
export const global = (module: string, name: string) => `c${module}\n${name}\n`;
export const tuple = (...items: string[]) => `(${items.join('')}t`;
export const ORDERED_DICT = `${global('collections', 'OrderedDict')})R`;
export const storage = ({ type = 'FloatStorage', key = '0', count = 6 } = {}) =>
  `${tuple(text('storage'), global('torch', type), text(key), text('cpu'), int(count))}Q`;

/** A tensor of 2 x 3, but for what is given. */
export const tensor = ({ of = storage(), offset = 0, size = [2, 3], stride = [3, 1], more = '' } = {}) =>
  `${global('torch._utils', '_rebuild_tensor_v2')}` +
  `${tuple(of, int(offset), tuple(...size.map(int)), tuple(...stride.map(int)), '\x89', ORDERED_DICT, more)}R`;

/** A state dict. */
export const dict = (...items: [string, string][]) => `${ORDERED_DICT}(${items.map(([name, value]) => text(name) + value).join('')}u`;
export const pickleOf = (...parts: string[]) => bytesOf(PROTO, ...parts, '.');
