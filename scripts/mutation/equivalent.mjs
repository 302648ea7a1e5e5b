/** Mutants that no test can kill, with why: `line` and `change` are what `scripts/mutate.mjs` prints of a survivor. */
export const equivalent = [
  // kv-cache
  { file: 'packages/kv-cache/src/eviction/h2o.ts', line: 'evict: (tokens, count) => lowest(tokens, between(tokens, 0, tokens.tokensSeen - newest), tokens.scores, count),', change: '0 → (0 - 1)', why: 'no position is below 0' },
  { file: 'packages/kv-cache/src/eviction/policy.ts', line: 'for (const i of candidates) if (keys[i]! <= keys[best]! && order(i, best) < 0) best = i;', change: 'keys[i]! <= keys[best]! → keys[i]! <= keys[best]! + 1', why: 'a shortcut before the comparison that decides' },
  { file: 'packages/kv-cache/src/layers/arena.ts', line: 'this.store.copy(page, copy, Math.min(TOKENS_PER_PAGE, this.tokens - index * TOKENS_PER_PAGE));', change: 'index * TOKENS_PER_PAGE → index / TOKENS_PER_PAGE', why: 'copies slots of the page that hold no token, too' },
  { file: 'packages/kv-cache/src/layers/keep-all.ts', line: 'if (position < this.#before.end) this.countBefore(position);', change: 'position < this.#before.end → position < this.#before.end + 1', why: 'to count up to where one is does nothing' },
  { file: 'packages/kv-cache/src/layers/budgeted.ts', line: 'const inOrder = (some: Uint32Array) => some.sort((a, b) => importance[a]! - importance[b]! || positions[a]! - positions[b]!);', change: 'positions[a]! - positions[b]! → positions[a]! - positions[b]! + 1', why: 'of different whole numbers a − b + 1 ≤ 0 is a < b' },
  // router
  { file: 'packages/router/src/balance.ts', line: 'const SWEEPS = 30;', change: '30 → (30 - 1)', why: 'the search has converged long before' },
  { file: 'packages/router/src/balance.ts', line: 'for (let sweep = 0; active.length > 1 && sweep < SWEEPS && moved > TOLERANCE; sweep++) {', change: '0 → (0 + 1)', why: 'one sweep fewer of 30' },
  { file: 'packages/router/src/balance.ts', line: 'for (let sweep = 0; active.length > 1 && sweep < SWEEPS && moved > TOLERANCE; sweep++) {', change: 'moved > TOLERANCE → moved >= TOLERANCE', why: 'a tolerance, not a limit' },
  { file: 'packages/router/src/balance.ts', line: 'for (let t = 0; t < tokens; t++) distances[t] = highest(t, expert) - logits[t * experts + expert]!;', change: 't < tokens → t < tokens + 1', why: 'a write beyond a typed array does nothing' },
  { file: 'packages/router/src/balance.ts', line: 'const move = next - shift[expert]!;', change: 'next - shift[expert]! → next - shift[expert]! + 1', why: 'only the difference of two moves counts' },
  { file: 'packages/router/src/balance.ts', line: 'moved = Math.max(...moves) - Math.min(...moves);', change: 'Math.max(...moves) - Math.min(...moves) → Math.max(...moves) - Math.min(...moves) + 1', why: 'goes on for all 30 sweeps, to the same shift' },
  { file: 'packages/router/src/consistency-loss.ts', line: "let target = tf.cast(tf.oneHot(ids, experts, 1, 0, 'int32'), 'float32'); // [tokens, E]", change: '1 → (1 + 1)', why: 'the factor is in the count too' },
  { file: 'packages/router/src/stream.ts', line: 'export const ROUTER_STREAM = 0x726f7574;', change: '0x726f7574 → (1919907188 + 1)', why: 'any number that no other stream has' },
  // experts
  { file: 'packages/experts/src/allocate.ts', line: 'for (let before = 0; before <= total; before++) {', change: 'before <= total → before <= total + 1', why: 'no unit fits there' },
  { file: 'packages/experts/src/allocate.ts', line: 'const upper = points.findIndex((point, i) => i > 0 && budget <= point.budget);', change: 'budget <= point.budget → budget < point.budget', why: 'both sides of a rung meet in it' },
  { file: 'packages/experts/src/allocate.ts', line: 'if (other < 0) return { from, to };', change: 'other < 0 → other <= 0', why: 'layer 0 is compared with itself' },
  { file: 'packages/experts/src/latent/fit.ts', line: 'if (gain) for (let i = 0; i < own.length; i++) own[i]! *= gain[i % inputs]!;', change: '0 → (0 - 1)', why: 'a write before a typed array does nothing' },
  { file: 'packages/experts/src/latent/fit.ts', line: 'const had = Array.from({ length: size }, (_, i) => basis.reduce((sum, other) => sum + other[i]! ** 2, 0));', change: '0 → (0 - 1)', why: 'only which is the least counts' },
  { file: 'packages/experts/src/latent/fit.ts', line: 'for (let i = 0; i < rest.length; i++) rest[i]! -= along * other[i]!;', change: 'i < rest.length → i <= rest.length', why: 'a write beyond a typed array does nothing' },
  { file: 'packages/experts/src/latent/fit.ts', line: 'for (let i = 0; i < m; i++) {', change: 'i < m → i < m + 1', why: 'a write beyond a typed array does nothing' },
  { file: 'packages/experts/src/latent/symmetric-eigen.ts', line: 'for (let i = 0; i < size; i++) {', change: '0 → (0 - 1)', why: 'a reflection of a row by NaN that nothing reads' },
  { file: 'packages/experts/src/latent/symmetric-eigen.ts', line: 'for (let j = 0; j < size; j++) row[j]! -= vi * w[j]! + wi * v[j]!;', change: '0 → (0 - 1)', why: 'a write before a typed array does nothing' },
  { file: 'packages/experts/src/latent/symmetric-eigen.ts', line: 'let g = d[m]! - d[l]! + e[l]! / (half + (half < 0 ? -root : root));', change: '0 → (0 + 1)', why: 'another shift: other steps to the same values' },
  // evaluators
  { file: 'packages/evaluators/src/instructions/instruction-evaluator.ts', line: '{ withoutReferences, minResponseTokens = 0, maxRows = Infinity }: InstructionSet,', change: '0 → (0 - 1)', why: 'no response has fewer than 0 tokens' },
  { file: 'packages/evaluators/src/instructions/instruction-evaluator.ts', line: 'if (minResponseTokens > 0 && tokenizer.encode(response, { addSpecialTokens: false }).length < minResponseTokens) continue;', change: '0 → (0 - 1)', why: 'no response has fewer than 0 tokens' },
];
