import { SeededRandom } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { alignLayer, type LayerMatrices } from './layer-alignment';
import { pairSigns } from './turn';

const shape = { kvHeads: 4, headDim: 4, hiddenSize: 6, keyTurns: pairSigns };
const inPairs = { groupSizes: [2], ratios: [1] };
const random = new SeededRandom(3);
/** Rows of keys, of which the first and third of a head lie in one pair and the others in another. */
const row = (scale: number) => Array.from({ length: 6 }, () => scale * random.normal());
const [a, b, c, d] = [row(1), row(1), row(5), row(5)];
const none = new Float32Array(4 * 4 * 6);

/** The heads that share a group. */
function groupsOf(keys: readonly (readonly number[])[][], keyGain: number[] | null): string[] {
  const layer: LayerMatrices = { k: Float32Array.from(keys.flat(2)), v: none, gain: null, keyGain: keyGain && Float32Array.from(keyGain) };
  const { order } = alignLayer(layer, shape, inPairs);
  return [order.slice(0, 2), order.slice(2)].map((group) => group.sort().join(' ')).sort();
}

describe('alignLayer, where keys are normalised,', () => {
  // Heads 0 and 1 agree in the large rows, 0 and 2 in the small ones.
  const keys = [[a!, c!, a!, c!], [b!, c!, b!, c!], [a!, d!, a!, d!], [b!, d!, b!, d!]];

  it('puts heads together by what the gain of each element leaves of them', () => {
    expect(groupsOf(keys, null)).toEqual(['0 1', '2 3']);
    expect(groupsOf(keys, [1, 0.01, 1, 0.01])).toEqual(['0 2', '1 3']);
    expect(groupsOf(keys, [1, 0.01, 1, 0.01, 1, 0.01, 1, 0.01, 1, 0.01, 1, 0.01, 1, 0.01, 1, 0.01])).toEqual(['0 2', '1 3']);
  });

  it('takes a large head for no more than a small one, where each is normalised by itself', () => {
    const [first, second, other] = [[a!, b!, a!, b!], [b!, a!, b!, a!], [a!, a!, b!, b!]];
    const scaled = (head: number[][], factor: number) => head.map((values) => values.map((value) => factor * value));
    // 0 and 3 are the same but for their size; what 1 shares with the large 2 weighs more than that before they are normalised.
    const heads = [scaled(first, 0.1), scaled(other, 10), scaled(second, 10), scaled(first, 0.2)];
    expect(groupsOf(heads, [1, 1, 1, 1])).toEqual(['0 3', '1 2']);
    expect(groupsOf([heads[0]!, heads[3]!, heads[1]!, scaled(other, 0.01)], [1, 1, 1, 1])).toEqual(['0 1', '2 3']);
  });
});
