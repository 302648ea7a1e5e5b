import { expect, it } from 'vitest';
import { routerMargins } from './decisions';

it('router margins are below 0 where expert choice gave a token another expert than its best', () => {
  const scores = Float32Array.of(0.5, 0.25, 0.125, 0.5, 0.25, 0.125, 0.75, 0.75, 0);
  expect([...routerMargins(Int32Array.of(0, 2, 1), scores)]).toEqual([0.25, -0.375, 0]);
});
