import assert from 'node:assert/strict';
import { inspectModel } from '@mixsga/models';

const model = await inspectModel('facebook/opt-125m', 'mixsga:3:1:6');
assert.equal(model.kvBytesPerTokenFull, 73728);
assert.equal(model.kvBytesPerToken, 36867);
