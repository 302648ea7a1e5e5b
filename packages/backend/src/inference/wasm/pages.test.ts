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
