import { ArgumentError, FileError } from '@mixsga/backend';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { matchTensors, readCheckpoint } from './checkpoint';
import { encodeSafetensors, fromFloat32, toFloat32, type FloatDtype, type SafetensorsEntry } from '../io/safetensors';
import { memoryTensors } from '../io/tensor-source';
import { dict, pickleOf, storage, tensor } from '../io/testing/pickle';
import { zipOf } from '../io/testing/zip';
import { openCheckpoint } from './open-checkpoint';
import { saveCheckpoint } from './save-checkpoint';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-open-'))));
afterEach(() => rm(folder, { recursive: true }));

const values = (count: number, from = 0) => Float32Array.from({ length: count }, (_, i) => from + i / 8);
const entry = (count: number, from = 0, dtype: FloatDtype = 'F32') => fromFloat32(values(count, from), [count], dtype);
const put = (name: string, content: string | Uint8Array) => writeFile(join(folder, name), content);
/** Equality of large arrays, which `toEqual` takes seconds for. */
const same = (a: Float32Array, b: Float32Array) => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));
const opening = (): Promise<unknown> => openCheckpoint(folder).catch((error: unknown) => error);

describe('openCheckpoint of a folder', () => {
  beforeEach(() => put('config.json', '{"model_type": "opt"}'));

  it('reads tensors of every float type, one by one', async () => {
    const entries = new Map<string, SafetensorsEntry>([
      ['a', entry(3)],
      // More than are widened at a time.
      ['b', entry(2 ** 20 + 5, 0, 'BF16')],
      ['c', entry(3, 0, 'F16')],
      ['ids', { dtype: 'I64', shape: [1], data: new Uint8Array(8).fill(1) }],
    ]);
    await put('model.safetensors', encodeSafetensors(entries));
    const { tensors, files, config } = await openCheckpoint(folder);
    expect(config).toEqual({ model_type: 'opt' });
    expect([...files].sort()).toEqual(['config.json', 'model.safetensors']);
    for (const name of ['a', 'b', 'c']) expect(same(await tensors.read(name), toFloat32(entries.get(name)!)), name).toBe(true);
    expect(await tensors.readRaw('ids')).toEqual(new Uint8Array(8).fill(1));
    await expect(tensors.read('ids')).rejects.toThrow(`${folder}/model.safetensors: tensor "ids": expected F32, F16, BF16 or F64, got I64`);
    await expect(tensors.read('none')).rejects.toThrow('expected a tensor "none", and there is none');
    await tensors.close();
  });

  it('prefers safetensors to pickles, and whole files to shards', async () => {
    await put('pytorch_model.bin', 'not looked at');
    await put('model.safetensors.index.json', 'not looked at');
    await put('model.safetensors', encodeSafetensors(new Map([['w', entry(1)]])));
    const { tensors } = await openCheckpoint(folder);
    expect(tensors.where).toBe(`${folder}/model.safetensors`);
    await tensors.close();
  });

  it('reads shards of pickles', async () => {
    const bin = (name: string, data: Float32Array) =>
      zipOf(
        new Map([
          ['m/data.pkl', pickleOf(dict([name, tensor({ of: storage({ count: data.length }), size: [data.length], stride: [1] })]))],
          ['m/data/0', new Uint8Array(data.buffer)],
        ]),
      );
    await put('pytorch_model-00001-of-00002.bin', bin('a', values(5)));
    await put('pytorch_model-00002-of-00002.bin', bin('b', values(3)));
    await put('pytorch_model.bin.index.json', '{"metadata": {}, "weight_map": {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}}');
    const { tensors } = await openCheckpoint(folder);
    expect(await tensors.read('a')).toEqual(values(5));
    expect(await tensors.read('b')).toEqual(values(3));
    expect(tensors.tensors.get('b')!.where).toBe(`${folder}/pytorch_model-00002-of-00002.bin`);
    await tensors.close();
  });

  describe('of shards', () => {
    const index = (map: object) => put('model.safetensors.index.json', JSON.stringify({ weight_map: map }));
    beforeEach(async () => {
      await put('1.safetensors', encodeSafetensors(new Map([['a', entry(2)], ['b', entry(2)]])));
      await put('2.safetensors', encodeSafetensors(new Map([['c', entry(2)]])));
    });

    it.each<[string, object | string, string]>([
      ['a shard that is missing', { a: '1.safetensors', c: '3.safetensors' }, '/3.safetensors: expected a shard that model.safetensors.index.json lists, and there is none; fetch it again'],
      ['a tensor that its shard lacks', { a: '1.safetensors', d: '2.safetensors' }, 'model.safetensors.index.json: expected tensor "d" in 2.safetensors, and it is not there'],
      ['a shard elsewhere', { a: '../1.safetensors' }, 'weight_map: "a": expected the name of a shard in the same folder, got "../1.safetensors"'],
      ['a shard that is no name', { a: 7 }, 'weight_map: "a": expected the name of a shard in the same folder, got 7'],
      ['no map', '{"metadata": {}}', 'weight_map: expected an object of file names, got nothing'],
      ['a map that is none', '{"weight_map": []}', 'expected weight_map to be an object of file names'],
      ['a tensor given twice', '{"weight_map": {"a": "1.safetensors", "a": "2.safetensors"}}', 'expected each key once'],
      ['no JSON', '{"weight_map"', "expected ':', got the end"],
    ])('%s', async (_, content, message) => {
      if (typeof content === 'string') await put('model.safetensors.index.json', content);
      else await index(content);
      const error = await opening();
      expect(error).toBeInstanceOf(FileError);
      expect((error as Error).message).toContain(message);
    });

    it('a thousand at most', async () => {
      const shards = (count: number) => index(Object.fromEntries(Array.from({ length: count }, (_, i) => [`w${i}`, `s${i}.safetensors`])));
      await shards(1000);
      await expect(openCheckpoint(folder)).rejects.toThrow('s0.safetensors: expected a shard that model.safetensors.index.json lists');
      await shards(1001);
      await expect(openCheckpoint(folder)).rejects.toThrow('model.safetensors.index.json: weight_map: expected at most 1000 shards, got more');
    });

    it('whose index has more than the map', async () => {
      await put('model.safetensors.index.json', JSON.stringify({ metadata: { total_size: 24, more: ['x'] }, weight_map: { a: '1.safetensors', b: '1.safetensors', c: '2.safetensors' } }));
      const { tensors } = await openCheckpoint(folder);
      expect([...tensors.tensors.keys()]).toEqual(['a', 'b', 'c']);
      expect([tensors.has('c'), tensors.has('d')]).toEqual([true, false]);
      expect(await tensors.readRaw('c')).toEqual(entry(2).data);
      await expect(tensors.read('d')).rejects.toThrow(`${folder}/model.safetensors.index.json: expected a tensor "d", and there is none`);
      await tensors.close();
    });

    it('a tensor in two of them', async () => {
      await put('2.safetensors', encodeSafetensors(new Map([['b', entry(2)], ['c', entry(2)]])));
      await index({ a: '1.safetensors', b: '1.safetensors', c: '2.safetensors' });
      await expect(openCheckpoint(folder)).rejects.toThrow('tensor "b": expected it in one shard, got 1.safetensors and 2.safetensors');
    });

    it('__proto__ as any name', async () => {
      await put('1.safetensors', encodeSafetensors(new Map([['__proto__', entry(2)]])));
      await put('model.safetensors.index.json', '{"weight_map": {"__proto__": "1.safetensors"}}');
      const { tensors } = await openCheckpoint(folder);
      expect(await tensors.read('__proto__')).toEqual(values(2));
      await tensors.close();
    });
  });

  it('says what is missing', async () => {
    await expect(openCheckpoint(folder)).rejects.toThrow(`${folder}: expected weights in one of model.safetensors`);
    await put('model.safetensors', encodeSafetensors(new Map()));
    const { tensors, tokenizer } = await openCheckpoint(folder);
    await tensors.close();
    await expect(tokenizer()).rejects.toThrow(`${folder}: expected a tokenizer: tokenizer.json, or vocab.json and merges.txt as GPT-2 has; got none`);
    await put('config.json', '{"a": 1, "a": 2}');
    await expect(openCheckpoint(folder)).rejects.toThrow(`${folder}/config.json: JSON at byte 9: expected each key once`);
    await put('config.json', ' '.repeat(5_000_000));
    await expect(openCheckpoint(folder)).rejects.toThrow('config.json: expected at most 4194304 bytes, got 5000000');
    await rm(join(folder, 'config.json'));
    await expect(openCheckpoint(folder)).rejects.toThrow('expected a model folder with config.json');
    await expect(openCheckpoint('nowhere')).rejects.toThrow(ArgumentError);
  });
});

describe('openCheckpoint of files', () => {
  const config = { name: 'config.json', blob: new Blob(['{"model_type": "opt"}']) };
  const weights = encodeSafetensors(new Map([['w', entry(1000)]]));

  it('reads Blobs', async () => {
    const tokenizer = new File(['{"version": "1.0"}'], 'tokenizer.json');
    const { tensors, tokenizer: read } = await openCheckpoint([config, { name: 'model.safetensors', blob: new Blob([weights]) }, tokenizer]);
    expect(await tensors.read('w')).toEqual(values(1000));
    expect(await read()).toEqual({ json: { version: '1.0' }, config: null, where: 'tokenizer.json' });
  });

  it('refuses a file given twice, and none', async () => {
    await expect(openCheckpoint([config, config])).rejects.toThrow('config.json: expected each file once');
    await expect(openCheckpoint([])).rejects.toThrow('the files given: expected config.json among its files, got none');
  });

  describe('by address', () => {
    let server: Server;
    let address: string;
    let ranges: (string | undefined)[];
    let knowsRanges: boolean;
    beforeEach(async () => {
      ranges = [];
      knowsRanges = true;
      server = createServer((request, response) => {
        const content = request.url!.startsWith('/config.json') ? Buffer.from('{"model_type": "opt"}') : Buffer.from(weights);
        ranges.push(request.headers.range);
        const [, begin, end] = /bytes=(\d+)-(\d+)/.exec(request.headers.range!)!.map(Number) as [number, number, number];
        if (!knowsRanges) return void response.writeHead(200).end(content);
        response.writeHead(206, { 'content-range': `bytes ${begin}-${end}/${content.length}` }).end(content.subarray(begin, end + 1));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    });
    afterEach(() => void server.close());

    it('reads by ranges', async () => {
      const { tensors, configWhere } = await openCheckpoint([`${address}/config.json?x=1`, new URL(`${address}/model.safetensors`)]);
      expect(configWhere).toBe(`${address}/config.json?x=1`);
      ranges.length = 0;
      expect(await tensors.read('w')).toEqual(values(1000));
      expect(ranges).toEqual([`bytes=${weights.length - 4000}-${weights.length - 1}`]);
    });

    it('says that it needs them', async () => {
      knowsRanges = false;
      await expect(openCheckpoint([`${address}/config.json`])).rejects.toThrow(
        `${address}/config.json: expected a server that answers range requests (206), got none`,
      );
    });
  });
});

describe('matchTensors', () => {
  const source = (names: string[]) => memoryTensors(new Map(names.map((name) => [name, entry(2)])), 'm');
  const expected = [{ name: 'model.decoder.a', shape: [2] }];

  it('takes the names of the bare model, and a head that is tied', () => {
    expect(matchTensors(source(['decoder.a', 'lm_head.weight']), expected)).toEqual(new Map([['model.decoder.a', 'decoder.a']]));
    expect(matchTensors(source(['model.decoder.a']), expected)).toEqual(new Map([['model.decoder.a', 'model.decoder.a']]));
  });

  it('refuses what is missing, of another shape, or of another model', () => {
    expect(() => matchTensors(source([]), expected)).toThrow('m: expected a tensor model.decoder.a of shape [2], and there is none');
    expect(() => matchTensors(source(['decoder.a']), [{ name: 'model.decoder.a', shape: [1, 2] }])).toThrow('decoder.a: expected shape [1, 2], got [2]');
    expect(() => matchTensors(source(['decoder.a', 'model.decoder.a']), expected)).toThrow('tensor decoder.a belongs to no parameter');
  });

  it('lets readCheckpoint read an OPT whose names lack the prefix', async () => {
    const { config, values: before } = await readCheckpoint('sotu-mini');
    const entries = new Map([...before].map(([name, array]) => {
      const shape = name.endsWith('.bias') || name.includes('norm') ? [array.length] : [array.length / config.hidden_size, config.hidden_size];
      return [name.slice('model.'.length), fromFloat32(array, name.endsWith('fc2.weight') ? [shape[1]!, shape[0]!] : shape)];
    }));
    await saveCheckpoint(folder, { config: { ...config }, tensors: memoryTensors(entries, 'm') });
    const { values: after } = await readCheckpoint(folder);
    expect([...after.keys()]).toEqual([...before.keys()]);
    for (const [name, array] of before) expect(same(after.get(name)!, array), name).toBe(true);
  });
});

describe('saveCheckpoint', () => {
  const entries = new Map<string, SafetensorsEntry>([
    ['a', entry(100)],
    ['b', entry(100, 5)],
    ['c', entry(300, 9)],
    ['ids', { dtype: 'I64', shape: [2], data: new Uint8Array(16).fill(3) }],
  ]);
  const tensors = memoryTensors(entries, 'memory');
  const config = { model_type: 'opt', mixsga: { attention: 'mha' } };

  it('writes one file, the types kept', async () => {
    const files = new Map([['tokenizer.json', '{}']]);
    await saveCheckpoint(folder, { config, tensors, files });
    expect((await readdir(folder)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect(new Uint8Array(await readFile(join(folder, 'model.safetensors')))).toEqual(encodeSafetensors(entries, { format: 'pt' }));
    expect(JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'))).toEqual(config);
  });

  it('writes shards above a size, and reads them back', async () => {
    await saveCheckpoint(folder, { config, tensors }, { maxShardBytes: 1000 });
    expect((await readdir(folder)).sort()).toEqual([
      ...['config.json', 'model-00001-of-00003.safetensors', 'model-00002-of-00003.safetensors', 'model-00003-of-00003.safetensors'],
      'model.safetensors.index.json',
    ]);
    const index = JSON.parse(await readFile(join(folder, 'model.safetensors.index.json'), 'utf8')) as object;
    expect(index).toEqual({
      metadata: { total_size: 2016 },
      weight_map: {
        a: 'model-00001-of-00003.safetensors',
        b: 'model-00001-of-00003.safetensors',
        c: 'model-00002-of-00003.safetensors',
        ids: 'model-00003-of-00003.safetensors',
      },
    });
    const read = await openCheckpoint(folder);
    for (const [name, { data }] of entries) expect(await read.tensors.readRaw(name)).toEqual(new Uint8Array(data));
    await read.tensors.close();
  });

  it('converts the float types', async () => {
    await saveCheckpoint(folder, { config, tensors }, { dtype: 'BF16' });
    const read = await openCheckpoint(folder);
    expect([...read.tensors.tensors.values()].map(({ dtype }) => dtype).sort()).toEqual(['BF16', 'BF16', 'BF16', 'I64']);
    expect(await read.tensors.read('a')).toEqual(toFloat32(entry(100, 0, 'BF16')));
    await read.tensors.close();
  });

  it('leaves nothing of the checkpoint before it, also from the same folder', async () => {
    await saveCheckpoint(folder, { config, tensors }, { maxShardBytes: 1000 });
    const before = await openCheckpoint(folder);
    await saveCheckpoint(folder, { config, tensors: before.tensors });
    await before.tensors.close();
    expect((await readdir(folder)).sort()).toEqual(['config.json', 'model.safetensors']);
    await saveCheckpoint(folder, { config, tensors }, { maxShardBytes: 1500 });
    expect((await readdir(folder)).includes('model.safetensors')).toBe(false);
  });

  it('leaves the old one whole when a tensor cannot be read', async () => {
    await saveCheckpoint(folder, { config, tensors });
    const old = await readFile(join(folder, 'model.safetensors'));
    const failing = { ...tensors, readRaw: async (name: string) => (name === 'c' ? Promise.reject(new FileError('far', 'gone')) : tensors.readRaw(name)) };
    await expect(saveCheckpoint(folder, { config: { other: true }, tensors: failing }, { maxShardBytes: 1000 })).rejects.toThrow('far: gone');
    expect((await readdir(folder)).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(old);
    expect(JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'))).toEqual(config);
  });

  it('refuses a name elsewhere and a size of nothing', async () => {
    for (const name of ['../x', 'config.json', 'model.safetensors', 'model-00001-of-00002.safetensors']) {
      await expect(saveCheckpoint(folder, { config, tensors, files: new Map([[name, '']]) }), name).rejects.toThrow(ArgumentError);
    }
    await expect(saveCheckpoint(folder, { config, tensors }, { maxShardBytes: 0 })).rejects.toThrow('expected maxShardBytes above 0, got 0');
  });
});
