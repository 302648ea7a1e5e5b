import assert from 'node:assert/strict';
import { HostPages, storedGroups } from '@mixsga/backend';
import { CachePool, kvBytesPerToken } from '@mixsga/kv-cache';

const groups = (kvHeads, headDim) => [1, 2, 4].map((groupSize) => storedGroups({ kvHeads, headDim, groupSize }));
const model = { layers: 12, formats: groups(12, 64), ratios: [0.3, 0.1, 0.6] };
assert.equal(kvBytesPerToken(model), 36867);

const layout = { layers: 2, formats: groups(4, 8), fingerprint: 'consumer' };
const pool = new CachePool({ pages: (format) => new HostPages(format) }, layout);
const cache = pool.create({ cache: 'h2o:0.5', maxTokens: 4 });
for (let token = 0; token < 3; token++) {
  for (let layer = 0; layer < 2; layer++) cache.view(layer);
  cache.commit([2, 0]);
}
const restored = await pool.restore(await cache.serialise());
assert.deepEqual([restored.tokensSeen, restored.expertCounts()], [3, [2, 0, 2]]);
pool.dispose();
