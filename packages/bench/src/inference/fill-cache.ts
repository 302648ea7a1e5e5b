import { expertCapacity, SeededRandom, slotOf, type StorePlan, TOKENS_PER_PAGE } from '@mixsga/backend';
import type { KvCache } from '@mixsga/kv-cache';

import { fillUniform } from './random-model';

/** How many random numbers there are; a page is a piece of them, from anywhere. */
const POOL = 2 ** 20;

/** Tokens of each expert, as expert choice gives them: ⌈ratio·tokens⌉ in turn, the rest to the last. */
function tokensByExpert(ratios: readonly number[], tokens: number): number[] {
  let left = tokens;
  return ratios.map((ratio, expert) => {
    const taken = expert === ratios.length - 1 ? left : Math.min(left, expertCapacity(ratio, tokens));
    left -= taken;
    return taken;
  });
}

/** Fills an empty cache with random keys and values of a number of tokens, in the ratios of each layer, in random order. */
export function fillCache(
  cache: KvCache, { layers, ratiosOf, tokens }: { layers: number; ratiosOf: (layer: number) => readonly number[]; tokens: number },
): void {
  const random = new SeededRandom(2);
  const numbers = new Float32Array(POOL);
  fillUniform(numbers, 1, random);
  const draw = (length: number) => {
    const start = random.nextInt(POOL - length + 1);
    return numbers.subarray(start, start + length);
  };
  for (let layer = 0; layer < layers; layer++) {
    const experts = Int32Array.from(tokensByExpert(ratiosOf(layer), tokens).flatMap((count, expert) => new Array<number>(count).fill(expert)));
    shuffle(experts, random);
    for (const plan of cache.planRows(layer, experts)) write(plan, draw);
  }
  cache.commitRows();
}

function write({ segment, firstSlot, rows }: StorePlan, draw: (length: number) => Float32Array): void {
  const { store } = segment;
  for (let done = 0; done < rows.length; ) {
    const { page, offset } = slotOf(segment, firstSlot + done);
    const tokens = Math.min(TOKENS_PER_PAGE - offset, rows.length - done);
    const size = tokens * store.heads * store.headDim;
    store.write(page, offset, draw(size), draw(size));
    done += tokens;
  }
}

/** In place, every order equally likely (Fisher-Yates). */
function shuffle(values: Int32Array, random: SeededRandom): void {
  for (let i = values.length - 1; i > 0; i--) {
    const j = random.nextInt(i + 1);
    [values[i], values[j]] = [values[j]!, values[i]!];
  }
}
