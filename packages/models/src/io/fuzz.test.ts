import { FileError, SeededRandom } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { knownModels } from '../config/known-models';
import { parseModelConfig } from '../families/index';
import { memorySource, type ByteSource } from './byte-source';
import { listedFiles, readConfig } from './checkpoint-files';
import { encodeSafetensors, fromFloat32 } from './safetensors';
import { openSafetensors } from './safetensors-source';
import { openShards, parseShardIndex } from './shards';
import { dict, pickleOf, storage, tensor } from './testing/pickle';
import { zipOf } from './testing/zip';
import { memoryTensors, type TensorSource } from './tensor-source';
import { openTorch } from './torch-source';

/*
 * Files that were sound until a few bytes changed. Whatever they have become, a reader gives tensors or a FileError, soon, and
 * asks for no more memory than twice the file. Ten times as many, and other readers: apps/trainer/src/testing/fuzz.
 */

const utf8 = (text: string) => new TextEncoder().encode(text);
const values = Float32Array.from({ length: 12 }, (_, i) => i);
const entries = new Map([
  ['model.layers.0.weight', fromFloat32(values, [3, 4])],
  ['b', fromFloat32(values, [12], 'F16')],
  ['__proto__', fromFloat32(values, [2, 2, 3], 'BF16')],
]);
const safetensors = encodeSafetensors(entries, { format: 'pt' });
const pickle = pickleOf(
  dict(['w', tensor()], ['half', tensor({ of: storage({ type: 'HalfStorage', key: '1', count: 4 }), size: [4], stride: [1] })]),
);
const torchEntries = (data: Uint8Array) =>
  new Map([
    ['m/data.pkl', data],
    ['m/byteorder', utf8('little')],
    ['m/data/0', new Uint8Array(24).fill(1)],
    ['m/data/1', new Uint8Array(8).fill(2)],
  ]);
const torch = zipOf(torchEntries(pickle));
const torch64 = zipOf(torchEntries(pickle), { zip64: true });
const index = utf8('{"metadata": {"total_size": 96}, "weight_map": {"model.layers.0.weight": "1.safetensors", "b": "2.safetensors"}}');
const configs = Object.values(knownModels).map((config) => utf8(JSON.stringify({ ...config, mixsga: { attention: 'mha' } })));

/** What is put instead of bytes: edges of numbers, and what readers trip over. */
const NUMBERS = [0n, 1n, 0x7fn, 0xffn, 0xffffn, 0x7fffffffn, 0xffffffffn, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];
const TEXTS = [
  ...['"__proto__"', '"constructor"', '-1', '0.5', '1e999', '9007199254740993', '18446744073709551616', '""', '{}', '[]', 'null', 'true'],
  ...['[[[[[[[[', '{"a":', '"\\ud800"', '"\\u0000"', 'NaN', '"F64"', '"../x"', '[0,0]', ',', '}', ':'],
  ...['cos\nsystem\n', 'R', '(', 't', 'u', 's', 'b', '\x8a\xff', 'X\xff\xff\xff\x7f', 'r\xff\xff\xff\xff', 'h\x00', '.', '}', '\x85', 'Q'],
].map((text) => Uint8Array.from(text, (character) => character.charCodeAt(0)));

class Mutator {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed, 0);
  }

  below(n: number): number {
    return this.#random.nextInt(Math.max(1, n));
  }

  mutate(bytes: Uint8Array): Uint8Array {
    let result = bytes;
    for (let i = this.below(4); i >= 0; i--) result = this.#once(result);
    return result;
  }

  #once(bytes: Uint8Array): Uint8Array {
    const at = this.below(bytes.length + 1);
    const end = Math.min(bytes.length, at + 1 + this.below(this.below(4) === 0 ? bytes.length : 8));
    const splice = (from: number, to: number, ...middle: Uint8Array[]) => {
      const parts = [bytes.subarray(0, from), ...middle, bytes.subarray(to)];
      const result = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
      let position = 0;
      for (const part of parts) {
        result.set(part, position);
        position += part.length;
      }
      return result;
    };
    switch (this.below(8)) {
      case 0:
        return bytes.slice(0, at); // cut short
      case 1:
        return splice(at, end); // a piece lost
      case 2:
        return splice(end, end, bytes.subarray(at, end)); // a piece repeated
      case 3:
        return splice(at, at, TEXTS[this.below(TEXTS.length)]!);
      case 4: {
        const text = TEXTS[this.below(TEXTS.length)]!;
        return splice(at, Math.min(bytes.length, at + text.length), text);
      }
      case 5: {
        const number = new DataView(new ArrayBuffer(8));
        number.setBigUint64(0, NUMBERS[this.below(NUMBERS.length)]!, true);
        const width = [1, 2, 4, 8][this.below(4)]!;
        return splice(at, Math.min(bytes.length, at + width), new Uint8Array(number.buffer, 0, width));
      }
      default: {
        const result = bytes.slice();
        if (at < bytes.length) result[at]! ^= 1 << this.below(8);
        return result;
      }
    }
  }
}

/** A file that counts the memory into which it is read. */
function counted(bytes: Uint8Array): ByteSource & { asked: number } {
  const source = memorySource(bytes, 'fuzzed');
  return {
    ...source,
    asked: 0,
    readInto(target, position) {
      this.asked += target.byteLength;
      if (position + target.length > bytes.length) throw new Error(`read past the end: ${position} + ${target.length} of ${bytes.length}`);
      return source.readInto(target, position);
    },
  };
}

async function readAllOf(tensors: TensorSource): Promise<void> {
  for (const [name, { dtype }] of tensors.tensors) await (dtype.endsWith('F32') || dtype.endsWith('F16') ? tensors.read(name) : tensors.readRaw(name));
  await tensors.close();
}

/** Reads of the parts of a file that describe it, twice the file at most, beside records of a fixed size. */
const RECORDS = 1024;

async function openAndRead(bytes: Uint8Array, open: (source: ByteSource) => Promise<TensorSource>): Promise<void> {
  const source = counted(bytes);
  const tensors = await open(source).finally(() => {
    if (source.asked > 2 * bytes.length + RECORDS) throw new Error(`${bytes.length} bytes are read into ${source.asked}`);
  });
  await readAllOf(tensors);
}

async function readIndex(bytes: Uint8Array): Promise<void> {
  const shards = parseShardIndex(bytes, 'fuzzed');
  const open = async (name: string) => memoryTensors(new Map([[name === '1.safetensors' ? 'model.layers.0.weight' : 'b', entries.get('b')!]]), name);
  await readAllOf(await openShards(shards, 'fuzzed', open));
}

async function readModelConfig(bytes: Uint8Array): Promise<void> {
  const files = listedFiles([{ name: 'config.json', blob: new Blob([bytes.slice()]) }]);
  parseModelConfig(await readConfig(files, 'config.json'), 'fuzzed');
}

describe('files with changed bytes', () => {
  it('are sound before', async () => {
    await openAndRead(safetensors, openSafetensors); // also makes the table of half-precision values
    for (const bytes of [torch, torch64]) await openAndRead(bytes, openTorch);
    await readIndex(index);
    for (const config of configs) await readModelConfig(config);
  });

  it.each<[string, number, (mutator: Mutator) => Uint8Array, (bytes: Uint8Array) => Promise<void>]>([
    ['safetensors', 6000, (m) => m.mutate(safetensors), (bytes) => openAndRead(bytes, openSafetensors)],
    ['shard indices', 4000, (m) => m.mutate(index), readIndex],
    ['zip archives', 4000, (m) => m.mutate(m.below(2) === 0 ? torch : torch64), (bytes) => openAndRead(bytes, openTorch)],
    ['pickles', 4000, (m) => zipOf(torchEntries(m.mutate(pickle))), (bytes) => openAndRead(bytes, openTorch)],
    ['configurations', 2000, (m) => m.mutate(configs[m.below(configs.length)]!), readModelConfig],
  ])('%s', async (_, count, make, read) => {
    const mutator = new Mutator(2024);
    let refused = 0;
    for (let i = 0; i < count; i++) {
      const bytes = make(mutator);
      const before = process.memoryUsage().arrayBuffers;
      const start = performance.now();
      try {
        await read(bytes);
      } catch (error) {
        if (!FileError.isInstance(error) || error.message.includes('\n')) throw new Error(`file ${i} gives another error`, { cause: error });
        refused++;
      }
      // Memory that tensors took is counted until it is collected; a claim of more would be seen at once.
      const taken = process.memoryUsage().arrayBuffers - before;
      if (taken > 2 * bytes.length + 2 ** 16) throw new Error(`file ${i} of ${bytes.length} bytes takes ${taken}`);
      if (performance.now() - start > 2000) throw new Error(`file ${i} takes ${performance.now() - start} ms`);
    }
    // Most are broken, and some are not.
    expect(refused).toBeGreaterThan(count / 3);
    expect(refused).toBeLessThan(count);
  });
});
