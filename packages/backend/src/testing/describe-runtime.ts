import { beforeAll, describe, it } from 'vitest';
import type { InferenceRuntime } from '../inference/runtime';
import { runtimeChecks } from './runtime/index';

/**
 * {@link runtimeChecks} as vitest tests.
 * @param start starts the backend, and gives its runtime
 */
export function describeRuntime(name: string, start: () => Promise<InferenceRuntime>, options: { quick?: boolean } = {}): void {
  describe(`${name} as an InferenceRuntime`, () => {
    let runtime: InferenceRuntime;
    beforeAll(async () => {
      runtime = await start();
    });
    it.each(runtimeChecks)('$name', ({ run }) => run(runtime, options));
  });
}
