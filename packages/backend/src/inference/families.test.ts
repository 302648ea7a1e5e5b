import { afterAll, beforeAll, describe, it } from 'vitest';
import { useReferenceKernels } from '../kernels/index';
import { startBackend } from '../platform/index';
import { familyChecks } from '../testing/runtime/family-checks';
import type { InferenceRuntime } from './index';
import { createRuntime } from './index';

describe.each(['cpu', 'wasm', 'wasm without its kernels'])('%s', (name) => {
  let runtime: InferenceRuntime;
  const [backend] = name.split(' ');
  beforeAll(async () => {
    await startBackend(backend as 'cpu' | 'wasm');
    useReferenceKernels(name !== backend);
    runtime = createRuntime();
  });
  afterAll(() => useReferenceKernels(false));
  it.each(familyChecks)('$name', ({ run }) => run(runtime, { quick: name !== 'wasm' }));
});
