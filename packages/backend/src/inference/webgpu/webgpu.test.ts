import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { BackendError, DeviceLostError } from '../../errors';
import { describeBackends, startBackend } from '../../platform/index';
import { SeededRandom } from '../../random';
import { describePageStore } from '../../testing/describe-page-store';
import { plainAttend } from '../../testing/runtime/plain';
import { close } from '../../testing/runtime/setting';
import { WebgpuDevice } from '../../webgpu/device';
import type { InferenceRuntime, LayerView, Rows } from '../index';
import { createRuntime } from '../index';

const { available, reason } = (await describeBackends()).find(({ name }) => name === 'webgpu')!;
const random = new SeededRandom(5);
const normals = (count: number) => Float32Array.from({ length: count }, () => random.normal());
const device = () => (tf.backend() as unknown as { device: GPUDevice }).device;

function filled(runtime: InferenceRuntime, values: Float32Array, width: number): Rows {
  const outputs = values.length / width;
  const rows = runtime.rows(outputs, width);
  const table = runtime.packLinear({ weight: values, bias: null, outputs, inputs: width }, 'f32');
  runtime.embed(table, Int32Array.from({ length: outputs }, (_, i) => i), rows);
  table.dispose();
  return rows;
}

describe.skipIf(!available)(`on webgpu${available ? '' : ` (${reason})`}`, () => {
  beforeAll(() => startBackend('webgpu'));

  describePageStore('WebgpuPages', async () => {
    await startBackend('webgpu');
    const runtime = createRuntime();
    return (heads, headDim, type) => runtime.pages({ heads, headDim, type });
  });

  test('memory for pages grows by half, and nothing is copied to grow', async () => {
    const store = createRuntime().pages({ heads: 2, headDim: 8 });
    expect([store.bytesPerPage, store.allocatedBytes]).toEqual([2 * 4 * 32 * 16, 0]);
    const first = store.allocate();
    store.write(first, 0, normals(16), normals(16));
    const { dispatches } = WebgpuDevice.of(tf.backend());
    const allocated = Array.from({ length: 107 }, () => [store.allocate(), store.allocatedBytes / store.bytesPerPage][1]);
    expect([...new Set(allocated)]).toEqual([16, 32, 48, 72, 108]);
    expect(WebgpuDevice.of(tf.backend()).dispatches).toBe(dispatches);
    store.dispose();
  });

  test('a segment can be spread over any number of chunks', async () => {
    const runtime = createRuntime();
    const [heads, headDim] = [2, 8];
    const store = runtime.pages({ heads, headDim });
    const all = Array.from({ length: 200 }, () => store.allocate());
    const pages = [199, 0, 17, 110, 40, 71, 20, 109, 5, 150, 33, 60].map((i) => all[i]!);
    const tokens = pages.length * 32 - 3;
    const [k, v] = [normals(tokens * 16), normals(tokens * 16)];
    pages.forEach((page, i) => store.write(page, 0, k.subarray(i * 512, (i + 1) * 512), v.subarray(i * 512, (i + 1) * 512)));
    const [from, to] = [{ page: pages[0]!, offset: 3 }, { page: pages[11]!, offset: 7 }];
    store.move(from, to);
    store.copy(pages[1]!, pages[9]!, 32);
    const moved = (x: Float32Array) => {
      x.copyWithin(((11 * 32) + 7) * 16, 3 * 16, 4 * 16);
      x.copyWithin(9 * 512, 512, 1024);
    };
    moved(k);
    moved(v);
    const q = normals(16);
    const out = runtime.rows(1, 16);
    const view: LayerView = { segments: [{ store, pages, tokens }], slots: [{ page: pages[11]!, offset: 29 }] };
    const told: number[] = [];
    const before = runtime.work.dispatches!;
    const rows = filled(runtime, q, 16);
    runtime.grouped.attend(rows, 0, view, null, out, { heads, scale: 0.5, onProbabilities: (_, p) => told.push(...p) });
    // Its six chunks in two dispatches, after the embedding; then combine, sums and probabilities.
    expect(runtime.work.dispatches! - before).toBe(1 + 2 + 3);
    const { values } = await runtime.read(out, 1, 'values');
    const list = Array.from({ length: tokens }, (_, t) => ({ k: k.subarray(t * 16, (t + 1) * 16), v: v.subarray(t * 16, (t + 1) * 16) }));
    const expected = plainAttend(q, list, heads, 0.5);
    close('the output', values!, expected.out);
    // Slots are reported in the order of the segment, whatever the order of its parts.
    close('probabilities', told, expected.probabilities);
    store.dispose();
  });

  test('a step reads once, and every dispatch is counted', async () => {
    const runtime = createRuntime();
    const layer = { weight: normals(24 * 16), bias: normals(24), outputs: 24, inputs: 16 };
    const x = filled(runtime, normals(16), 16);
    const [normed, out] = [runtime.rows(1, 16), runtime.rows(1, 24)];
    const norm = runtime.vector(normals(16));
    const weights = runtime.packLinear(layer, 'int8');
    const linear = runtime.packRouter({ weight: normals(48), bias: normals(3), outputs: 3, inputs: 16 });
    const router = { linear, decode: vi.fn() };
    const { dispatches, reads } = runtime.work;
    runtime.layerNorm(x, norm, norm, normed, 1);
    const route = runtime.route(router, normed, 0);
    expect(route.expert).toBeNull();
    runtime.apply(weights, normed, out, 1, { activation: 'relu' });
    const { argMax } = await runtime.read(out, 1, 'argMax');
    expect([runtime.work.dispatches! - dispatches!, runtime.work.reads - reads]).toEqual([4, 1]);
    expect(argMax).toHaveLength(1);
    expect([0, 1, 2]).toContain(route.expert);
    tf.tidy(() => void tf.matMul(tf.randomNormal([40, 40]), tf.randomNormal([40, 40])));
    expect(runtime.work.dispatches! - dispatches!).toBeGreaterThan(4);
    expect(router.decode).not.toHaveBeenCalled();
  });

  test('what a buffer of the device can not hold is refused', () => {
    const runtime = createRuntime();
    vi.spyOn(WebgpuDevice.of(tf.backend()), 'maxTensorBytes', 'get').mockReturnValue(1000);
    expect(() => runtime.packLinear({ weight: new Float32Array(600), bias: null, outputs: 20, inputs: 30 }, 'f32')).toThrow(
      'webgpu: expected tensors of at most 1000 bytes, which is what a buffer of this device can have, got one of shape [20, 30]',
    );
    expect(() => runtime.pages({ heads: 1, headDim: 4 }).allocate()).toThrow(
      'webgpu: expected pages of at most 1000 bytes, which is what a buffer of this device can have, got 1024 for 1 heads of 4',
    );
    vi.restoreAllMocks();
  });

  test('an operation that the device refuses is an error of the next read, not a number', async () => {
    await startBackend('webgpu', { onDeviceError: () => {} });
    const runtime = createRuntime();
    const x = runtime.rows(1, 4);
    device().createBuffer({ size: 16, usage: 0xffff });
    const error: unknown = await runtime.read(x, 1, 'values').catch((thrown: unknown) => thrown);
    expect(BackendError.isInstance(error) && error.message).toMatch(
      /^webgpu: expected the device to take every operation, it refused one and the results are wrong: \S.*$/,
    );
    await expect(createRuntime().read(x, 1, 'values')).resolves.toBeDefined();
  });

  test('without what it needs of tfjs, the reference steps in', () => {
    const fault = vi.spyOn(WebgpuDevice.of(tf.backend()), 'fault', 'get').mockReturnValue('programs gave 1, expected 2');
    const runtime = createRuntime();
    expect(runtime.path).toBe('reference');
    const x = runtime.rows(1, 2);
    const route = () => runtime.route({ linear: null, decode: () => tf.zeros([1, 1], 'int32') }, x, 0);
    expect(route).toThrow('webgpu: expected a browser, since the reference of inference reads tensors at once');
    fault.mockRestore();
    expect(createRuntime().path).toBe('fused');
  });

  describe('a lost device', () => {
    const LOST = /^webgpu: the device was lost: \S.*\S; start the backend again and load the model again$/;

    test.each(['at once', 'when its loss is known', 'while a read waits'])('is an error %s, and a start gives a new one', async (when) => {
      await startBackend('webgpu');
      const lost = device();
      const runtime = createRuntime();
      const values = normals(8);
      const layer = { weight: normals(64), bias: normals(8), outputs: 8, inputs: 8 };
      const use = async (runtime: InferenceRuntime) => {
        const x = filled(runtime, values, 8);
        const [y, store] = [runtime.rows(1, 8), runtime.pages({ heads: 1, headDim: 8 })];
        const weights = runtime.packLinear(layer, 'bf16');
        const read = () => {
          runtime.apply(weights, x, y, 1);
          return runtime.read(y, 1, 'values');
        };
        return { read, x, y, weights, store, page: store.allocate(), first: [...(await read()).values!] };
      };
      const { read, x, y, weights, store, page, first } = await use(runtime);
      const own = runtime.tensor(x, 1);

      const waiting = when === 'while a read waits' ? read() : null;
      waiting?.catch(() => {});
      lost.destroy();
      if (when === 'when its loss is known') await lost.lost;
      const failed = async (promise: Promise<unknown>) => {
        const error: unknown = await promise.catch((thrown: unknown) => thrown);
        expect([DeviceLostError.isInstance(error), BackendError.isInstance(error), error]).toEqual([true, true, expect.any(Error)]);
        expect((error as Error).message).toMatch(LOST);
      };
      if (waiting) await failed(waiting);
      await failed((async () => read())());
      await failed(store.read(page, 3));
      expect(() => runtime.apply(weights, x, y, 1)).toThrow(LOST);
      expect(() => runtime.packLinear(layer, 'f32')).toThrow(DeviceLostError);
      expect(() => store.write(page, 0, values, values)).toThrow(LOST);
      expect(() => runtime.tensor(x, 1)).toThrow(LOST);
      expect(() => tf.add(own, own)).toThrow(LOST);
      await failed(own.data());

      await startBackend('webgpu');
      expect(device()).not.toBe(lost);
      const again = await use(createRuntime());
      expect(again.first).toEqual(first);
      expect(await tf.matMul(tf.ones([2, 3]), tf.ones([3, 2])).data()).toEqual(Float32Array.of(3, 3, 3, 3));
      expect(() => [x, y, weights, store].forEach((resident) => resident.dispose())).not.toThrow();
      await startBackend('webgpu');
      expect((await again.read()).values).toEqual(Float32Array.from(first));
    });
  });
});
