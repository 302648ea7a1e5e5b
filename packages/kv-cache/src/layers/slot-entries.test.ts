import { expect, it } from 'vitest';
import { ENTRY_BYTES, SlotEntries } from './slot-entries';

it('grows by an eighth in steps of 32, shrinks when less than half is used, and keeps its first', () => {
  const entries = new SlotEntries();
  const lengths = [0, 1, 32, 33, 36, 64, 65, 300, 337, 338, 352, 353, 200, 177, 176, 170, 33, 32, 15, 1, 0].map((tokens) => {
    entries.resize(tokens);
    for (let slot = 0; slot < tokens; slot++) [entries.positions[slot], entries.scores[slot]] = [slot, slot / 2];
    return [tokens, entries.positions.length];
  });
  expect(lengths).toEqual([
    [0, 0], [1, 32], [32, 32], [33, 64], [36, 64], [64, 64], [65, 96], [300, 352], [337, 352], [338, 352], [352, 352], [353, 416],
    [200, 224], [177, 224], [176, 224], [170, 224], [33, 64], [32, 64], [15, 32], [1, 32], [0, 32],
  ]);
  entries.resize(200);
  expect([...entries.positions.subarray(0, 32)]).toEqual(Array.from({ length: 32 }, (_, i) => i));
  expect([...entries.scores.subarray(0, 32)]).toEqual(Array.from({ length: 32 }, (_, i) => i / 2));
});

it('counts its buffers, and makes room for what was observed only where something was', () => {
  const entries = new SlotEntries();
  entries.resize(20);
  expect(entries.allocatedBytes).toBe(32 * ENTRY_BYTES);
  entries.resize(40);
  expect(entries.observed.length).toBe(0);
  entries.observed = new Float32Array(64).fill(1);
  expect(entries.allocatedBytes).toBe(64 * (ENTRY_BYTES + 4));
  entries.resize(70);
  expect([...entries.observed.subarray(62, 66)]).toEqual([1, 1, 0, 0]);
  const copy = entries.copy();
  expect([copy.observed.length, copy.observedTokens, copy.positions.length]).toEqual([0, 0, 96]);
});
