import { expect, test } from 'vitest';
import { startBackend } from '../../platform/index';
import { describePageStore } from '../../testing/describe-page-store';
import { createRuntime, type KvType } from '../index';

const pages = async (queryHeads?: number) => {
  await startBackend('wasm');
  const runtime = createRuntime();
  return (heads: number, headDim: number, type: KvType) => runtime.pages({ heads, headDim, type, ...(queryHeads && { queryHeads }) });
};

describePageStore('WasmPages', () => pages());
// Stored heads that serve query heads in fours, and others, have different layouts.
describePageStore('WasmPages for 12 query heads', () => pages(12));

test.each([[12, 3, 3], [12, 3, 6], [6, 3, 12]])('pages made for %i query heads over %i refuse %i', async (queryHeads, heads, others) => {
  await startBackend('wasm');
  const runtime = createRuntime();
  const store = runtime.pages({ heads, headDim: 4, queryHeads });
  const page = store.allocate();
  const attend = (count: number) => {
    const [q, out] = [runtime.rows(1, 4 * count), runtime.rows(1, 4 * count)];
    try {
      runtime.write(new Float32Array(4 * count), q);
      runtime.grouped.attend(q, 0, { segments: [{ store, pages: [page], tokens: 1 }], slots: [] }, null, out, { heads: count, scale: 1 });
    } finally {
      for (const rows of [q, out]) rows.dispose();
    }
  };
  store.write(page, 0, new Float32Array(4 * heads), new Float32Array(4 * heads));
  attend(queryHeads);
  expect(() => attend(others)).toThrow(
    `attend: expected pages made for ${others} query heads, which ${heads} stored heads would serve in ${others / heads}s`,
  );
  store.dispose();
});
