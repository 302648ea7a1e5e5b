import { FileError } from '@mixsga/backend';
import { readFile } from 'node:fs/promises';
import { describe, expect, it, vi } from 'vitest';
import { memorySource } from './byte-source';
import { encodeSafetensors } from './safetensors';
import { openSafetensors } from './safetensors-source';
import { bytesOf, dict, global, int, ORDERED_DICT, pickleOf, PROTO, storage, tensor, text, tuple } from './testing/pickle';
import { zipOf } from './testing/zip';
import { openTorch } from './torch-source';

const open = (bytes: Uint8Array) => openTorch(memorySource(bytes, 'model.bin'));
const data = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);
const archive = (pickle: Uint8Array, more: [string, Uint8Array][] = [['m/data/0', data]]) => new Map([['m/data.pkl', pickle], ...more]);
const model = (pickle: Uint8Array, more?: [string, Uint8Array][]) => zipOf(archive(pickle, more));

async function expectRefusal(bytes: Uint8Array, message: string | RegExp): Promise<void> {
  const error: unknown = await open(bytes).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(FileError);
  const text = (error as Error).message;
  if (typeof message === 'string') expect(text).toContain(message);
  else expect(text).toMatch(message);
  expect(text).toMatch(/^model\.bin: [^\n]+$/);
}

describe('openTorch', () => {
  it('reads what PyTorch writes', async () => {
    const source = await open(await readFile(new URL('testing/state-dict.bin', import.meta.url)));
    expect([...source.tensors].map(([name, { dtype, shape }]) => [name, dtype, shape])).toEqual([
      ['short', 'F16', [2, 2]],
      ['brain', 'BF16', [3]],
      ['scalar', 'F32', []],
      ['empty', 'F32', [0, 3]],
      ['embed.weight', 'F32', [4, 3]],
      ['head.weight', 'F32', [4, 3]],
    ]);
    const eighths = Float32Array.from({ length: 12 }, (_, i) => i / 8);
    expect(await source.read('embed.weight')).toEqual(eighths);
    expect(await source.read('head.weight')).toEqual(eighths);
    expect(await source.read('short')).toEqual(Float32Array.of(0.5, -2, 65504, 2 ** -24));
    expect((await source.read('brain')).subarray(0, 2)).toEqual(Float32Array.of(1, -3));
    expect(await source.read('scalar')).toEqual(Float32Array.of(7));
    expect(await source.read('empty')).toEqual(new Float32Array(0));
  });

  it.each(['views.bin', 'views-legacy.bin'])('reads parameters and views of one storage: %s', async (name) => {
    const source = await open(await readFile(new URL(`testing/${name}`, import.meta.url)));
    const range = (count: number, from = 0, step = 1) => Array.from({ length: count }, (_, i) => from + step * i);
    const all: Record<string, unknown> = {};
    for (const [tensor, { dtype, shape }] of source.tensors) {
      if (!/^(I64|BOOL)$/.test(dtype)) all[tensor] = [dtype, shape, [...(await source.read(tensor))]];
    }
    expect(all).toEqual({
      parameter: ['F32', [2], [1.5, -2.5]],
      q: ['F32', [2, 4], range(8)],
      k: ['F32', [1, 4], range(4, 8)],
      v: ['F32', [2, 4], range(8, 12)],
      left: ['F16', [4, 2], [0, 1, 6, 7, 12, 13, 18, 19]],
      right: ['F16', [4, 4], [0, 6, 12, 18].flatMap((row) => range(4, row + 2))],
      transposed: ['BF16', [3, 2], [0, 3, 1, 4, 2, 5]],
      cube: ['F64', [4, 2, 3], range(4).flatMap((k) => [0, 12].flatMap((i) => range(3, i + k, 4))).map((x) => Math.fround(x / 3))],
    });
    expect(source.tensors.get('positions')).toMatchObject({ dtype: 'I64', shape: [3] });
    expect(new BigInt64Array((await source.readRaw('positions')).buffer)).toEqual(BigInt64Array.of(0n, 1n, 2n));
    expect(await source.readRaw('mask')).toEqual(Uint8Array.of(1, 0));
    await expect(source.read('mask')).rejects.toThrow('tensor "mask": expected F32, F16, BF16 or F64, got BOOL');
    expect(new Float64Array((await source.readRaw('cube')).buffer)[1]).toBe(4 / 3);
  });

  it('reads a zip64 archive and a plain dict', async () => {
    const pickle = pickleOf('}', text('w'), tensor(), 's');
    const source = await open(zipOf(archive(pickle), { zip64: true }));
    expect(await source.read('w')).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
  });

  it('takes any strides of dimensions of 1', async () => {
    const source = await open(model(pickleOf(dict(['w', tensor({ size: [1, 6], stride: [99, 1] })]))));
    expect(source.tensors.get('w')!.shape).toEqual([1, 6]);
  });
});

describe('numbers of a pickle', () => {
  const PERSISTENT = (count: string) => `${tuple(text('storage'), global('torch', 'ByteStorage'), text('0'), text('cpu'), count)}Q`;
  /** The count of a storage of bytes, as it was understood: a tensor of it all, of that size. */
  const understood = async (count: string, size: number) => {
    const pickle = pickleOf(dict(['w', tensor({ of: PERSISTENT(count), size: [size], stride: [1] })]));
    const source = await open(model(pickle, [['m/data/0', new Uint8Array(size)]]));
    return source.tensors.get('w')!.shape[0];
  };

  it.each<[string, number]>([
    ['K\x07', 7], ['K\xff', 255], ['M\x02\x01', 258], ['J\x03\x02\x01\x00', 66_051], ['\x8a\x00', 0],
    ['\x8a\x01\x7f', 127], ['\x8a\x02\xff\x00', 255], ['\x8a\x03\x01\x02\x01', 66_049], ['\x8a\x08\x05\x00\x00\x00\x00\x00\x00\x00', 5],
  ])('%j', async (count, size) => expect(await understood(count, size)).toBe(size));

  it.each(['\x8a\x01\x80', '\x8a\x02\x00\x80', 'J\xff\xff\xff\xff', 'N', '\x88'])('%j counts nothing', (count) =>
    expectRefusal(model(pickleOf(dict(['w', tensor({ of: PERSISTENT(count) })]))), 'expected a storage of FloatStorage and the like'),
  );
});

describe('limits of a pickle', () => {
  const sized = (name: string) => model(pickleOf(dict([name, tensor()])));

  it('takes texts of 1,024 bytes, names of 256, 64 marks, tuples of 64, and 10,000 values', async () => {
    const name = 'n'.repeat(1024);
    expect((await open(sized(name))).has(name)).toBe(true);
    await expectRefusal(sized(`${name}n`), 'expected a string of at most 1024 bytes, got 1025');
    await expectRefusal(model(pickleOf(global('m'.repeat(256), 'f'))), 'which is not read');
    await expectRefusal(model(pickleOf(global('m'.repeat(257), 'f'))), 'expected a name of at most 256 bytes, got more');
    await expectRefusal(model(pickleOf('('.repeat(64))), 'expected a value on the stack, got none');
    await expectRefusal(model(pickleOf('('.repeat(65))), 'expected at most 64 open marks, got more');
    await expectRefusal(model(pickleOf('(', 'N'.repeat(64), 't')), 'expected a dict of tensors, got a tuple');
    await expectRefusal(model(pickleOf('N'.repeat(10_000))), 'expected a dict of tensors, got null');
    await expectRefusal(model(pickleOf('N'.repeat(10_001))), 'expected at most 10000 values at once, got more');
  });

  it('takes items one by one and many at once, and values stored by either number', async () => {
    const stored = `${tensor({ size: [2, 2], stride: [2, 1] })}q\x07r\x00\x01\x00\x00`;
    const source = await open(model(pickleOf('}', text('a'), stored, 's', '(', text('b'), 'h\x07', 'u', text('c'), 'j\x00\x01\x00\x00', 's')));
    for (const name of ['a', 'b', 'c']) expect(await source.read(name)).toEqual(Float32Array.of(1, 2, 3, 4));
  });

  it.each<[string, string[], string]>([
    ['a storage', [storage()], 'expected a dict of tensors, got a storage'],
    ['a tensor', [tensor()], 'expected a dict of tensors, got a tensor'],
    ['a function', [global('torch', 'FloatStorage')], 'expected a dict of tensors, got the global torch.FloatStorage'],
    ['a tuple of one', ['N\x85'], 'expected a dict of tensors, got a tuple'],
    ['a pair of which one is missing', ['N\x86'], 'expected a value on the stack, got none'],
    ['three of which one is missing', ['NN\x87'], 'expected a value on the stack, got none'],
    ['false', ['\x89'], 'expected a dict of tensors, got false'],
    ['metadata of another dict', [dict(), '}', text('_metadata'), '}', 's', text('more'), '}', 's', 'b'], 'expected BUILD to add _metadata to a dict, got a dict'],
    ['metadata of no dict', ['N', '}', text('_metadata'), '}', 's', 'b'], 'expected BUILD to add _metadata to a dict, got a dict'],
  ])('%s is no state dict', (_, parts, message) => expectRefusal(model(pickleOf(...parts)), message));

  it('keeps a byte order mark at the start of a name', async () => {
    const source = await open(model(pickleOf(dict(['\xef\xbb\xbfw', tensor()]))));
    expect([...source.tensors.keys()]).toEqual(['\ufeffw']);
  });

  it('takes metadata of a dict', async () => {
    const source = await open(model(pickleOf(dict(['w', tensor()]), '}', text('_metadata'), '}', 's', 'b')));
    expect([...source.tensors.keys()]).toEqual(['w']);
  });

  it.each<[string, Parameters<typeof tensor>[0]]>([
    ['its last value', { offset: 5, size: [1], stride: [1] }],
    ['none of its values, at its end', { offset: 6, size: [0], stride: [1] }],
    ['every other value', { size: [3], stride: [2] }],
    ['one value many times', { size: [6], stride: [0] }],
  ])('takes a view of %s', async (_, view) => {
    const source = await open(model(pickleOf(dict(['w', tensor(view)]))));
    const { offset = 0, size, stride } = view!;
    expect([...(await source.read('w'))]).toEqual(Array.from({ length: size![0]! }, (_, i) => 1 + offset + i * stride![0]!));
  });

  it.each<[string, Parameters<typeof tensor>[0]]>([
    ['a value too many', { size: [7], stride: [1] }],
    ['a value beyond its last', { offset: 6, size: [1], stride: [1] }],
    ['a stride too long', { size: [3], stride: [3] }],
    ['one value too many times', { size: [7], stride: [0] }],
  ])('refuses a view of %s', (_, view) => expectRefusal(model(pickleOf(dict(['w', tensor(view)]))), 'expected a tensor within the 6 values of its storage'));
});

describe('storages that are shared', () => {
  const wide = (count: number) => tensor({ of: storage({ count }), size: [2], stride: [count - 1] });
  const spans = (times: number) =>
    model(pickleOf(dict(...Array.from({ length: times }, (_, i): [string, string] => [`${i}`, wide(200)]))), [['m/data/0', new Uint8Array(800)]]);

  it('may be had by two names, and spanned 64 times', async () => {
    expect((await open(model(pickleOf(dict(['a', tensor()], ['b', tensor()]))))).tensors.size).toBe(2);
    expect((await open(spans(64))).tensors.size).toBe(64);
    await expectRefusal(spans(65), 'tensor "64": expected a storage of its own');
  });

  it('may have a byte order of 16 letters', () => expectRefusal(
    zipOf(archive(pickleOf(dict(['w', tensor()])), [['m/data/0', data], ['m/byteorder', new Uint8Array(17).fill(0x61)]])), 'expected at most 16 bytes, got 17',
  ));
});

describe('pickles that are refused', () => {
  const one = (value: string) => pickleOf(dict(['w', value]));
  const PARAMETER = global('torch._utils', '_rebuild_parameter');
  const long = (bytes: string) => `\x8a${String.fromCharCode(bytes.length)}${bytes}`;

  it.each<[string, Uint8Array, string | RegExp]>([
    ['a call of another function', pickleOf(global('os', 'system'), tuple(text('true')), 'R'), /byte 2: .*the global "os.system", which is not read; only torch.FloatStorage/],
    ['one of the builtins', pickleOf(global('builtins', 'eval'), tuple(text('1')), 'R'), 'the global "builtins.eval"'],
    ['another function of torch', pickleOf(global('torch._utils', '_rebuild_sparse_tensor')), 'the global "torch._utils._rebuild_sparse_tensor"'],
    ['a storage of complex numbers', one(tensor({ of: storage({ type: 'ComplexFloatStorage' }) })), 'the global "torch.ComplexFloatStorage"'],
    ['a parameter of no tensor', one(`${PARAMETER}${tuple(int(1), '\x88', ORDERED_DICT)}R`), '_rebuild_parameter: expected a tensor, a boolean and no hooks'],
    ['a parameter with hooks', one(`${PARAMETER}${tuple(tensor(), '\x88', `}${text('a')}${int(1)}s`)}R`), '_rebuild_parameter: expected a tensor, a boolean and no hooks'],
    ['a parameter with a state', one(`${PARAMETER}${tuple(tensor(), '\x88', ORDERED_DICT, '}')}R`), '_rebuild_parameter: expected a tensor, a boolean and no hooks'],
    ['items of no list', pickleOf('}', '(', int(1), 'e'), 'expected a list to put items in, got a dict'],
    ['a storage that is a view', one(tensor({ of: `${tuple(text('storage'), global('torch', 'FloatStorage'), text('0'), text('cpu'), int(6), tuple(text('1'), int(0), int(6)))}Q` })), 'expected a storage of FloatStorage'],
    ['a global by parts', pickleOf(text('os'), text('system'), '\x93'), 'the opcode STACK_GLOBAL, which none has; nothing of it was run'],
    ['an instance', pickleOf('(ios\nsystem\n'), 'the opcode INST'],
    ['an object', pickleOf(ORDERED_DICT, ')', '\x81'), 'the opcode NEWOBJ'],
    ['an extension', pickleOf('\x82\x01'), 'the opcode EXT1'],
    ['a persistent id of text', pickleOf('P0\n'), 'the opcode PERSID'],
    ['an opcode that there is not', pickleOf('\xff'), 'the opcode 0xff'],
    ['protocol 4', bytesOf('\x80\x04.'), 'expected a pickle of protocol 2'],
    ['a call that is none', pickleOf(text('f'), ')R'), 'expected a function and its arguments, got "f"'],
    ['a storage as a function', pickleOf(global('torch', 'FloatStorage'), ')R'), 'got torch.FloatStorage of 0 arguments'],
    ['a dict of items', pickleOf(global('collections', 'OrderedDict'), tuple(int(1)), 'R'), 'got collections.OrderedDict of 1 arguments'],
    ['attributes', pickleOf(dict(), '}', text('__class__'), int(1), 's', 'b'), 'expected BUILD to add _metadata'],
    ['a list', pickleOf(']'), 'expected a dict of tensors, got a list'],
    ['a number', pickleOf(int(1)), 'expected a dict of tensors, got 1'],
    ['a dict in a dict', one('}'), '"w": expected a tensor, got a dict'],
    ['a key that is no name', pickleOf(dict(), int(1), int(2), 's'), 'expected pairs of a name and a value, got 1'],
    ['a name given twice', pickleOf(dict(['w', tensor()], ['w', tensor()])), 'expected each name once, got "w" twice'],
    ['a pair without a value', pickleOf(`${ORDERED_DICT}(`, text('w'), 'u'), 'expected pairs of a name and a value'],
    ['items of no dict', pickleOf(int(1), text('w'), int(2), 's'), 'expected a dict to put items in, got 1'],
    ['an offset', one(tensor({ offset: 1 })), 'expected a tensor within the 6 values of its storage, got [2, 3] with strides [3, 1] from 1 on'],
    ['a negative offset', one(tensor({ offset: -1 })), 'expected an offset, a size and strides of whole numbers'],
    ['an offset alone', one(tensor({ offset: 7, size: [0], stride: [1] })), 'expected a tensor within the 6 values of its storage, got [0]'],
    ['long strides', one(tensor({ size: [2, 2], stride: [5, 1] })), 'got [2, 2] with strides [5, 1] from 0 on'],
    ['an expanded tensor', one(tensor({ size: [7, 1], stride: [0, 1] })), 'got [7, 1] with strides [0, 1] from 0 on'],
    ['sizes beyond all numbers', one(tensor({ size: [2 ** 30, 2 ** 30, 2 ** 30], stride: [0, 0, 0] })), 'expected a tensor within the 6 values'],
    ['strides of another rank', one(tensor({ stride: [1] })), 'expected an offset, a size and strides of whole numbers'],
    ['a negative size', one(tensor({ size: [-2, -3] })), 'expected an offset, a size and strides of whole numbers'],
    ['a long above 2^53', pickleOf(long(`${'\xff'.repeat(7)}\x7f`)), 'at most 2^53 - 1, got 9223372036854775807'],
    ['a long of nine bytes', pickleOf(long('\xff'.repeat(9))), 'at most 2^53 - 1, got one of 9 bytes'],
    ['another argument', one(tensor({ more: int(1) })), 'expected a storage, an offset, a size and strides'],
    ['a persistent id of another kind', one(tensor({ of: `${tuple(text('module'))}Q` })), 'expected a storage of FloatStorage'],
    ['text that is not UTF-8', pickleOf('X\x01\x00\x00\x00\xff'), 'expected UTF-8 text'],
    ['text past the end', pickleOf('X\xff\xff\xff\x7fabc'), 'the pickle is cut short'],
    ['a name without an end', bytesOf(PROTO, 'cos'), 'the pickle is cut short'],
    ['no end', bytesOf(PROTO, int(1)), 'the pickle is cut short'],
    ['an empty stack', pickleOf(''), 'expected a value on the stack, got none'],
    ['a value below a mark', pickleOf(int(1), '(', '\x85'), 'expected a value on the stack, got none'],
    ['no mark', pickleOf('t'), 'expected a mark on the stack, got none'],
    ['marks without end', pickleOf('('.repeat(1000)), 'expected at most 64 open marks'],
    ['values without end', pickleOf('N'.repeat(20_000)), 'expected at most 10000 values at once'],
    ['a long tuple', pickleOf('(', 'N'.repeat(65), 't'), 'expected at most 64 values since the mark'],
    ['what is not stored', pickleOf('h\x07'), 'expected a value stored as 7, got none'],
  ])('%s', (_, pickle, message) => expectRefusal(model(pickle), message));
});

describe('a file that is refused', () => {
  it.each([openTorch, openSafetensors])('is closed, and one that is read is not: %s', async (openFile) => {
    const sound = openFile === openTorch ? model(pickleOf(dict(['w', tensor()]))) : encodeSafetensors(new Map());
    for (const [bytes, closed] of [[sound, 0], [new Uint8Array(30), 1]] as const) {
      const close = vi.fn(async () => undefined);
      const opened = await openFile({ ...memorySource(bytes, 'x'), close }).catch(() => null);
      expect(close).toHaveBeenCalledTimes(closed);
      await opened?.close();
      expect(close).toHaveBeenCalledTimes(1);
    }
  });
});

describe('archives that are refused', () => {
  const good = archive(pickleOf(dict(['w', tensor()])));
  const without = (name: string) => new Map([...good].filter(([key]) => key !== name));
  const wide = tensor({ of: storage({ count: 200 }), size: [2], stride: [199] });
  const spanning = pickleOf(dict(...Array.from({ length: 65 }, (_, i): [string, string] => [`${i}`, wide])));
  const three = pickleOf(dict(['a', tensor()], ['b', tensor()], ['c', tensor()]));
  /** @param edit gets the place of the directory, that of the first entry's in it */
  const edited = (edit: (bytes: Uint8Array, view: DataView, directory: number) => void, options?: object) => {
    const bytes = zipOf(good, options);
    const view = new DataView(bytes.buffer);
    edit(bytes, view, view.getUint32(bytes.length - 6, true));
    return bytes;
  };

  it.each<[string, Uint8Array, string]>([
    ['no zip', new Uint8Array(100), 'expected a zip archive, as torch.save has written since PyTorch 1.6'],
    ['an empty file', new Uint8Array(0), 'expected a zip archive'],
    ['a file cut short', zipOf(good).subarray(0, 400), 'expected a zip archive'],
    ['compressed entries', zipOf(good, { method: 8 }), 'zip entry "m/data.pkl": expected it stored uncompressed, got compression method 8'],
    ['encrypted entries', zipOf(good, { flags: 1 }), 'expected it in the clear, got it encrypted'],
    ['no pickle', zipOf(without('m/data.pkl')), 'expected one data.pkl in the archive, got 0'],
    ['two pickles', zipOf(new Map([...good, ['n/data.pkl', data]])), 'expected one data.pkl in the archive, got 2'],
    ['no storage', zipOf(without('m/data/0')), 'tensor "w": expected a storage "0" in the archive, and there is none'],
    ['a short storage', zipOf(new Map([...good, ['m/data/0', data.subarray(1)]])), 'tensor "w": expected 24 bytes for 6 values of F32, got 23'],
    ['a storage for three', model(three), 'tensor "c": expected a storage of its own, got "0", of which others have all'],
    ['a storage that is spanned without end', model(spanning, [['m/data/0', new Uint8Array(800)]]), 'tensor "64": expected a storage of its own, got "0", of which others have all'],
    ['big-endian values', zipOf(new Map([...good, ['m/byteorder', bytesOf('big')]])), 'byteorder: expected little, got "big"'],
    ['a large pickle', model(new Uint8Array(5 * 2 ** 20)), 'expected at most 4194304 bytes, got 5242880'],
    ['an entry outside', edited((_, view, at) => view.setUint32(at + 42, 0x7fffffff, true)), 'expected it within'],
    ['an entry of another place', edited((_, view, at) => view.setUint32(at + 42, 3, true)), 'expected its header at byte 3, got none'],
    ['an entry that is too long', edited((_, view, at) => {
      view.setUint32(at + 20, 5000, true);
      view.setUint32(at + 24, 5000, true);
    }), '(an overlap)'],
    ['a directory outside', edited((bytes, view) => view.setUint32(bytes.length - 6, 0x7fffffff, true)), 'zip directory: expected it before byte'],
    ['a count of another number', edited((bytes, view) => view.setUint16(bytes.length - 12, 1, true)), 'zip directory: expected'],
    ['a directory of another content', edited((bytes, _, at) => void bytes.fill(0, at, at + 4)), 'expected an entry at its byte 0, got none'],
    ['zip64 without a locator', edited((bytes) => void bytes.fill(0, bytes.length - 42, bytes.length - 38), { zip64: true }), 'zip64: expected a locator'],
    ['zip64 outside', edited((bytes) => void bytes.fill(0xff, bytes.length - 34, bytes.length - 26), { zip64: true }), 'zip64: expected a number of at most 2^53 - 1'],
  ])('%s', (_, bytes, message) => expectRefusal(bytes, message));

  it('a name given twice', async () => {
    const bytes = zipOf(new Map([...good, ['m/data/1', data]]));
    const at = Buffer.from(bytes).lastIndexOf('m/data/1');
    bytes[at + 7] = '0'.charCodeAt(0);
    await expectRefusal(bytes, 'zip directory: expected each name once, got one twice');
  });
});

describe('files older than PyTorch 1.6 that are refused', () => {
  const magic = '\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.';
  const version = pickleOf('M\xe9\x03');
  const machine = (littleEndian: string) => pickleOf('}', text('little_endian'), littleEndian, 's');
  const counted = (count: number, more = data) => new Uint8Array([...new Uint8Array(BigUint64Array.of(BigInt(count)).buffer), ...more]);
  const legacy = ({
    second = version, third = machine('\x88'), state = pickleOf(dict(['w', tensor()])), keys = pickleOf(`](${text('0')}e`), storages = counted(6),
  } = {}) => new Uint8Array(Buffer.concat([bytesOf(magic), second, third, state, keys, storages]));

  it('a sound one is read', async () => {
    const source = await open(legacy());
    expect([source.where, ...(await source.read('w'))]).toEqual(['model.bin', 1, 2, 3, 4, 5, 6]);
  });

  it.each<[string, Uint8Array, string]>([
    ['another version', legacy({ second: pickleOf('M\xea\x03') }), 'expected version 1001'],
    ['big-endian values', legacy({ third: machine('\x89') }), 'little_endian: expected true, got false'],
    ['facts that are none', legacy({ third: machine(int(1)) }), 'facts of the machine at byte 27: expected a dict with a boolean little_endian, got 1'],
    ['a call', legacy({ state: pickleOf(global('os', 'system'), tuple(text('true')), 'R') }), 'state dict at byte 2: expected a state dict of float tensors, got the global "os.system"'],
    ['names that are none', legacy({ keys: pickleOf(`](${int(1)}e`) }), 'names of storages at byte 10: expected a list of names'],
    ['a storage without a tensor', legacy({ keys: pickleOf(`](${text('0')}${text('1')}e`) }), 'storage "1": expected it once, for a tensor, got none of it'],
    ['a storage given twice', legacy({ keys: pickleOf(`](${text('0')}${text('0')}e`) }), 'storage "0": expected it once, for a tensor, got it twice'],
    ['a storage that is not there', legacy({ keys: pickleOf(']'), storages: new Uint8Array() }), 'tensor "w": expected a storage "0" in the file, and there is none'],
    ['a storage of another length', legacy({ storages: counted(5, data.subarray(4)) }), 'tensor "w": expected 24 bytes for 6 values of F32, got 20'],
    ['a count beyond the file', legacy({ storages: counted(2 ** 40) }), 'storage "0": expected at most 24 bytes, got 4398046511104'],
    ['a count of one more', legacy({ state: pickleOf(dict(['w', tensor({ of: storage({ type: 'ByteStorage' }) })])), storages: counted(7, data.subarray(0, 6)) }), 'storage "0": expected at most 6 bytes, got 7'],
    ['no count', legacy({ storages: new Uint8Array(7) }), 'storage "0": expected it before byte'],
    ['more at the end', legacy({ storages: counted(6, new Uint8Array(25)) }), 'expected the end after the storages'],
    ['the magic alone', bytesOf(magic), 'expected version 1001'],
  ])('%s', (_, bytes, message) => expectRefusal(bytes, message));
});
