import { FileError } from '@mixsga/backend';
import { show, type SafetensorsDtype } from './safetensors-header';
import { spanOf } from './strided';

/*
 * The pickle of a state dict, and nothing else: an unpickler that knows the opcodes and the few names that torch.save
 * uses for an ordered dict of tensors. It has no way to import or call anything.
 */

/** The values that tensors are views of. */
export class TorchStorage {
  constructor(
    readonly dtype: SafetensorsDtype,
    /** Its name in the file. */
    readonly key: string,
    /** Of its values. */
    readonly count: number,
  ) {}
}

/** A tensor of a state dict: a view that lies within its storage and is no larger. */
export class TorchTensor {
  constructor(
    readonly storage: TorchStorage,
    /** Place of its first value in the storage. */
    readonly offset: number,
    readonly shape: readonly number[],
    /** In values. */
    readonly strides: readonly number[],
  ) {}
}

/** Finds the first byte of a storage of a tensor of that name. @throws FileError when it is not as long as it should be */
export type FindStorage = (storage: TorchStorage, name: string) => number;

/** Size of a pickle: a tensor takes some 200 bytes of it. */
export const MAX_PICKLE_BYTES = 4 * 2 ** 20;
/** torch saves a thousand items at a time. */
const MAX_STACK = 10_000;
const MAX_TUPLE = 64;

const STORAGES: Readonly<Record<string, SafetensorsDtype>> = {
  ...{ 'torch.FloatStorage': 'F32', 'torch.HalfStorage': 'F16', 'torch.BFloat16Storage': 'BF16', 'torch.DoubleStorage': 'F64' },
  // Of buffers, such as positions and masks.
  ...{ 'torch.LongStorage': 'I64', 'torch.IntStorage': 'I32', 'torch.ShortStorage': 'I16', 'torch.CharStorage': 'I8' },
  ...{ 'torch.ByteStorage': 'U8', 'torch.BoolStorage': 'BOOL' },
};
const REBUILD = 'torch._utils._rebuild_tensor_v2';
const PARAMETER = 'torch._utils._rebuild_parameter';
const ORDERED_DICT = 'collections.OrderedDict';
const GLOBALS = [...Object.keys(STORAGES), REBUILD, PARAMETER, ORDERED_DICT];

/** Every opcode of the format, so that what is refused is refused by name. */
const OPCODES = new Map(
  (
    '28 MARK 29 EMPTY_TUPLE 2e STOP 30 POP 31 POP_MARK 32 DUP 42 BINBYTES 43 SHORT_BINBYTES 46 FLOAT 47 BINFLOAT 49 INT 4a BININT ' +
    '4b BININT1 4c LONG 4d BININT2 4e NONE 50 PERSID 51 BINPERSID 52 REDUCE 53 STRING 54 BINSTRING 55 SHORT_BINSTRING 56 UNICODE ' +
    '58 BINUNICODE 5d EMPTY_LIST 61 APPEND 62 BUILD 63 GLOBAL 64 DICT 65 APPENDS 67 GET 68 BINGET 69 INST 6a LONG_BINGET 6c LIST ' +
    '6f OBJ 70 PUT 71 BINPUT 72 LONG_BINPUT 73 SETITEM 74 TUPLE 75 SETITEMS 7d EMPTY_DICT 80 PROTO 81 NEWOBJ 82 EXT1 83 EXT2 ' +
    '84 EXT4 85 TUPLE1 86 TUPLE2 87 TUPLE3 88 NEWTRUE 89 NEWFALSE 8a LONG1 8b LONG4 8c SHORT_BINUNICODE 8d BINUNICODE8 ' +
    '8e BINBYTES8 8f EMPTY_SET 90 ADDITEMS 91 FROZENSET 92 NEWOBJ_EX 93 STACK_GLOBAL 94 MEMOIZE 95 FRAME 96 BYTEARRAY8 ' +
    '97 NEXT_BUFFER 98 READONLY_BUFFER'
  )
    .match(/\w+ \w+/g)!
    .map((pair) => [parseInt(pair.slice(0, 2), 16), pair.slice(3)]),
);

class Tuple {
  constructor(readonly items: readonly Value[]) {}
}
class List {
  readonly items: Value[] = [];
}
class Dict {
  readonly items = new Map<string, Value>();
}
class Global {
  constructor(readonly name: string) {}
}
type Value = null | boolean | number | string | Tuple | List | Dict | Global | TorchStorage | TorchTensor;

const EMPTY_TUPLE = new Tuple([]);

/** What a pickle holds, and where the next may begin. */
interface Read<T> {
  readonly value: T;
  readonly end: number;
}

/**
 * The tensors of a pickled state dict, by name.
 * @param where the file's path, for error messages
 * @param what part of the file the pickle is, for error messages
 * @param start its first byte
 * @throws FileError naming the opcode, global or tensor that a state dict does not have
 */
export function readStateDict(pickle: Uint8Array, where: string, what = 'data.pkl', start = 0): Read<Map<string, TorchTensor>> {
  const machine = new Machine(pickle, where, what, start);
  const dict = machine.run();
  if (!(dict instanceof Dict)) throw machine.error(`expected a dict of tensors, got ${describe(dict)}`);
  const tensors = new Map<string, TorchTensor>();
  for (const [name, tensor] of dict.items) {
    if (!(tensor instanceof TorchTensor)) throw machine.error(`${show(name)}: expected a tensor, got ${describe(tensor)}`);
    tensors.set(name, tensor);
  }
  return { value: tensors, end: machine.at };
}

/** A pickled list of strings. @throws FileError as {@link readStateDict} */
export function readStrings(pickle: Uint8Array, where: string, what: string, start: number): Read<string[]> {
  const machine = new Machine(pickle, where, what, start);
  const list = machine.run();
  const isStrings = list instanceof List && list.items.every((item) => typeof item === 'string');
  if (!isStrings) throw machine.error(`expected a list of names, got ${describe(list)}`);
  return { value: list.items as string[], end: machine.at };
}

/** A boolean of a pickled dict, undefined where it has none. @throws FileError as {@link readStateDict} */
export function readFlag(pickle: Uint8Array, where: string, what: string, start: number, key: string): Read<boolean | undefined> {
  const machine = new Machine(pickle, where, what, start);
  const dict = machine.run();
  const value = dict instanceof Dict ? dict.items.get(key) : null;
  if (value !== undefined && typeof value !== 'boolean') throw machine.error(`expected a dict with a boolean ${key}, got ${describe(value)}`);
  return { value, end: machine.at };
}

class Machine {
  readonly #view: DataView;
  readonly #stack: Value[] = [];
  /** Sizes of the stack at each open MARK. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Value>();
  #at: number;
  #opcodeAt: number;

  constructor(
    private readonly pickle: Uint8Array,
    private readonly where: string,
    private readonly what: string,
    private readonly start: number,
  ) {
    this.#at = this.#opcodeAt = start;
    this.#view = new DataView(pickle.buffer, pickle.byteOffset, pickle.byteLength);
  }

  error(problem: string): FileError {
    return new FileError(this.where, `${this.what} at byte ${this.#opcodeAt - this.start}: ${problem}`);
  }

  /** The byte after the last one read. */
  get at(): number {
    return this.#at;
  }

  run(): Value {
    if (this.#byte() !== 0x80 || this.#byte() !== 2) throw this.error('expected a pickle of protocol 2, as torch.save writes, got another');
    for (;;) {
      this.#opcodeAt = this.#at;
      const opcode = this.#byte();
      if (opcode === 0x2e) return this.#pop();
      this.#step(opcode);
    }
  }

  #step(opcode: number): void {
    switch (OPCODES.get(opcode)) {
      case 'MARK':
        if (this.#marks.length >= MAX_TUPLE) throw this.error(`expected at most ${MAX_TUPLE} open marks, got more`);
        this.#marks.push(this.#stack.length);
        return;
      case 'NONE':
        return this.#push(null);
      case 'NEWTRUE':
        return this.#push(true);
      case 'NEWFALSE':
        return this.#push(false);
      case 'BININT':
        return this.#push(this.#view.getInt32(this.#skip(4), true));
      case 'BININT1':
        return this.#push(this.#byte());
      case 'BININT2':
        return this.#push(this.#view.getUint16(this.#skip(2), true));
      case 'LONG1':
        return this.#push(this.#long(this.#byte()));
      case 'BINUNICODE':
        return this.#push(this.#text(this.#view.getUint32(this.#skip(4), true)));
      case 'EMPTY_TUPLE':
        return this.#push(EMPTY_TUPLE);
      case 'TUPLE1':
        return this.#push(new Tuple(this.#popMany(1)));
      case 'TUPLE2':
        return this.#push(new Tuple(this.#popMany(2)));
      case 'TUPLE3':
        return this.#push(new Tuple(this.#popMany(3)));
      case 'TUPLE':
        return this.#push(new Tuple(this.#popToMark(MAX_TUPLE)));
      case 'EMPTY_DICT':
        return this.#push(new Dict());
      case 'EMPTY_LIST':
        return this.#push(new List());
      case 'APPEND':
        return this.#append(this.#popMany(1));
      case 'APPENDS':
        return this.#append(this.#popToMark(MAX_STACK));
      case 'SETITEM':
        return this.#setItems(this.#popMany(2));
      case 'SETITEMS':
        return this.#setItems(this.#popToMark(MAX_STACK));
      case 'BINPUT':
        return void this.#memo.set(this.#byte(), this.#top());
      case 'LONG_BINPUT':
        return void this.#memo.set(this.#view.getUint32(this.#skip(4), true), this.#top());
      case 'BINGET':
        return this.#push(this.#recall(this.#byte()));
      case 'LONG_BINGET':
        return this.#push(this.#recall(this.#view.getUint32(this.#skip(4), true)));
      case 'GLOBAL':
        return this.#push(this.#global());
      case 'BINPERSID':
        return this.#push(this.#storage(this.#pop()));
      case 'REDUCE':
        return this.#reduce();
      case 'BUILD':
        return this.#build();
      default: {
        const name = OPCODES.get(opcode) ?? `0x${opcode.toString(16)}`;
        throw this.error(`expected a state dict of tensors, got the opcode ${name}, which none has; nothing of it was run`);
      }
    }
  }

  #skip(bytes: number): number {
    if (this.#at + bytes > this.pickle.length) throw this.error('the pickle is cut short; fetch the file again');
    this.#at += bytes;
    return this.#at - bytes;
  }

  #byte(): number {
    return this.pickle[this.#skip(1)]!;
  }

  #text(bytes: number): string {
    const start = this.#skip(bytes);
    if (bytes > 1024) throw this.error(`expected a string of at most 1024 bytes, got ${bytes}`);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.pickle.subarray(start, start + bytes));
    } catch {
      throw this.error('expected UTF-8 text, got bytes that are not UTF-8');
    }
  }

  /** A little-endian two's complement integer. */
  #long(bytes: number): number {
    const start = this.#skip(bytes);
    if (bytes > 8) throw this.error(`expected a whole number of at most 2^53 - 1, got one of ${bytes} bytes`);
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.pickle[start + i]!);
    value = BigInt.asIntN(8 * bytes, value);
    if (!Number.isSafeInteger(Number(value))) throw this.error(`expected a whole number of at most 2^53 - 1, got ${value}`);
    return Number(value);
  }

  #push(value: Value): void {
    if (this.#stack.length === MAX_STACK) throw this.error(`expected at most ${MAX_STACK} values at once, got more`);
    this.#stack.push(value);
  }

  #top(): Value {
    return this.#peek(0);
  }

  #peek(below: number): Value {
    const floor = this.#marks.at(-1) ?? 0;
    if (this.#stack.length - below <= floor) throw this.error('expected a value on the stack, got none');
    return this.#stack[this.#stack.length - 1 - below]!;
  }

  #pop(): Value {
    this.#top();
    return this.#stack.pop()!;
  }

  #popMany(count: number): Value[] {
    this.#peek(count - 1);
    return this.#stack.splice(-count);
  }

  #popToMark(limit: number): Value[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.error('expected a mark on the stack, got none');
    if (this.#stack.length - mark > limit) throw this.error(`expected at most ${limit} values since the mark, got more`);
    return this.#stack.splice(mark);
  }

  #recall(key: number): Value {
    const value = this.#memo.get(key);
    if (value === undefined) throw this.error(`expected a value stored as ${key}, got none`);
    return value;
  }

  #setItems(items: Value[]): void {
    const dict = this.#top();
    if (!(dict instanceof Dict)) throw this.error(`expected a dict to put items in, got ${describe(dict)}`);
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (typeof key !== 'string' || i + 1 === items.length) throw this.error(`expected pairs of a name and a value, got ${describe(key)}`);
      if (dict.items.has(key)) throw this.error(`expected each name once, got ${show(key)} twice`);
      dict.items.set(key, items[i + 1]!);
    }
  }

  #append(items: Value[]): void {
    const list = this.#top();
    if (!(list instanceof List)) throw this.error(`expected a list to put items in, got ${describe(list)}`);
    for (const item of items) list.items.push(item);
  }

  #global(): Global {
    const line = () => {
      const start = this.#at;
      while (this.#byte() !== 0x0a) if (this.#at - start > 256) throw this.error('expected a name of at most 256 bytes, got more');
      return new TextDecoder().decode(this.pickle.subarray(start, this.#at - 1));
    };
    const name = `${line()}.${line()}`;
    if (!GLOBALS.includes(name)) {
      throw this.error(`expected a state dict of float tensors, got the global ${show(name)}, which is not read; only ${GLOBALS.join(', ')} are`);
    }
    return new Global(name);
  }

  /** A persistent id: ('storage', type, name, device, number of values), before torch 1.6 also None, which stood for a view. */
  #storage(id: Value): TorchStorage {
    const [tag, type, key, device, count, view = null, ...rest] = id instanceof Tuple ? id.items : [];
    const dtype = type instanceof Global && Object.hasOwn(STORAGES, type.name) ? STORAGES[type.name]! : null;
    const wellFormed = tag === 'storage' && typeof key === 'string' && typeof device === 'string' && view === null && rest.length === 0;
    if (!wellFormed || dtype === null || !isCount(count)) throw this.error('expected a storage of FloatStorage and the like, got another');
    return new TorchStorage(dtype, key, count);
  }

  #reduce(): void {
    const [callee, given] = this.#popMany(2) as [Value, Value];
    if (!(callee instanceof Global) || !(given instanceof Tuple)) throw this.error(`expected a function and its arguments, got ${describe(callee)}`);
    if (callee.name === ORDERED_DICT && given.items.length === 0) return this.#push(new Dict());
    if (callee.name === REBUILD) return this.#push(this.#tensor(given.items));
    if (callee.name === PARAMETER) return this.#push(this.#parameter(given.items));
    throw this.error(`expected ${REBUILD}, ${PARAMETER} or an empty ${ORDERED_DICT}, got ${callee.name} of ${given.items.length} arguments`);
  }

  #tensor([storage, offset, size, stride, gradient, hooks, ...rest]: readonly Value[]): TorchTensor {
    const tuples = size instanceof Tuple && stride instanceof Tuple;
    if (!(storage instanceof TorchStorage) || !tuples || typeof gradient !== 'boolean' || !(hooks instanceof Dict) || rest.length > 0) {
      throw this.error(`${REBUILD}: expected a storage, an offset, a size and strides, got others`);
    }
    const [shape, strides] = [size.items, stride.items];
    const isSound = isCount(offset) && shape.every(isCount) && strides.every(isCount) && shape.length === strides.length && hooks.items.size === 0;
    if (!isSound) throw this.error(`${REBUILD}: expected an offset, a size and strides of whole numbers, got others`);
    const count = shape.reduce((product, n) => product * n, 1);
    // Products beyond 2^53 are inexact, and never as small as a storage.
    if (offset + spanOf({ shape, strides }) > storage.count || count > storage.count) {
      const view = `[${shape.join(', ')}] with strides [${strides.join(', ')}] from ${offset} on`;
      throw this.error(`expected a tensor within the ${storage.count} values of its storage, got ${view}`);
    }
    return new TorchTensor(storage, offset, shape, strides);
  }

  #parameter([tensor, gradient, hooks, ...rest]: readonly Value[]): TorchTensor {
    const isSound = tensor instanceof TorchTensor && typeof gradient === 'boolean' && hooks instanceof Dict && hooks.items.size === 0 && rest.length === 0;
    if (!isSound) throw this.error(`${PARAMETER}: expected a tensor, a boolean and no hooks, got others`);
    return tensor;
  }

  /** Attributes of a state dict: `_metadata`, the versions of its modules, which mean nothing here. */
  #build(): void {
    const state = this.#pop();
    const keys = state instanceof Dict ? [...state.items.keys()].join() : '';
    if (!(this.#top() instanceof Dict) || keys !== '_metadata') {
      throw this.error(`expected BUILD to add _metadata to a dict, got ${describe(state)}`);
    }
  }
}

function isCount(value: Value | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function describe(value: Value): string {
  if (value instanceof Global) return `the global ${value.name}`;
  if (value instanceof Dict) return 'a dict';
  if (value instanceof List) return 'a list';
  if (value instanceof Tuple) return 'a tuple';
  if (typeof value === 'object' && value !== null) return value instanceof TorchTensor ? 'a tensor' : 'a storage';
  return show(value);
}
