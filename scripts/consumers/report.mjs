import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { formatTable, writeReport } from '@mixsga/report';

const method = (name, attention, kvBudget, perplexity) => ({
  name, attention, kvBudget, seed: 1, kvBytesPerToken: 4096 * kvBudget, tokens: 1000, perplexity: { decode: perplexity, prefill: perplexity }, agreement: null, realisedRatios: null,
});
const report = {
  schema: 'mixsga/report@2', backend: 'wasm', corpus: 'sotu', model: { parameters: 1000, layers: 1, heads: 2, hidden: 8 }, seconds: 1,
  methods: [method('MHA', 'mha', 1, 30), method('GQA 2', 'gqa:2', 0.5, 31)],
};
assert.match(formatTable(report), /GQA 2 +50 %/);
const files = await writeReport('out', report);
assert.deepEqual(files, ['out/report.json', 'out/report.md', 'out/perplexity-kv.svg']);
assert.match(readFileSync('out/perplexity-kv.svg', 'utf8'), /^<svg/);
