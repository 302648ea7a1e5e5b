import { SeededRandom } from '@mixsga/backend';
import type { CachePolicy } from '@mixsga/kv-cache';

/**
 * Keeps a uniform random sample of all tokens seen (reservoir sampling, Vitter 1985, algorithm R): each token draws a rank once, by the seed, its
 * layer and its position, and the lowest go. The newest token stays, since nothing has seen it yet.
 */
export const samplePolicy: CachePolicy = {
  name: 'sample',
  description: 'random tokens first, so that a uniform sample of the text stays',
  draws: true,
  rank({ layer, positions, seed, tokensSeen }) {
    const newest = tokensSeen - 1;
    return Float64Array.from(positions, (position) => (position === newest ? Infinity : new SeededRandom(seed, layer, position).next()));
  },
};
