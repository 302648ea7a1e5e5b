import { expect, it } from 'vitest';

import { endable, withInterruption } from './interruption';

it('leaves Ctrl-C and SIGTERM to the system while work runs that cannot be interrupted', async () => {
  const listeners = () => [process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')];
  const outside = listeners();
  await withInterruption((signal) => {
    const inside = listeners();
    expect(inside).toEqual(outside.map((count) => count + 1));
    expect(endable(() => listeners())).toEqual([0, 0]);
    expect(listeners()).toEqual(inside);
    expect(() => endable(() => { throw new Error('broken'); })).toThrow('broken');
    expect([listeners(), signal.aborted]).toEqual([inside, false]);
    return Promise.resolve();
  });
  expect(listeners()).toEqual(outside);
});
