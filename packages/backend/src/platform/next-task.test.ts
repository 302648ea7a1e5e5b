import { afterEach, expect, test, vi } from 'vitest';
import { nextTask } from './next-task';

afterEach(() => vi.unstubAllGlobals());

test.each([['with setImmediate'], ['as in browsers, without']])('timers get their turn between tasks (%s)', async (where) => {
  if (where !== 'with setImmediate') vi.stubGlobal('setImmediate', undefined);
  let fired = false;
  setTimeout(() => (fired = true));
  for (const end = performance.now() + 20; performance.now() < end; ) await Promise.resolve();
  expect(fired).toBe(false);
  for (const end = performance.now() + 2000; !fired && performance.now() < end; ) await nextTask();
  expect(fired).toBe(true);
});
