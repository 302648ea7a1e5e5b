import assert from 'node:assert/strict';
import { kvBytesPerToken } from '@mixsga/kv-cache';

const model = { layers: 12, kvHeads: 12, headDim: 64, groupSizes: [1, 2, 4], ratios: [0.3, 0.1, 0.6] };
assert.equal(kvBytesPerToken(model), 36867);
