import assert from 'node:assert/strict';
import { kvShare } from '@mixsga/experts';

assert.equal(kvShare([0.3, 0.1, 0.6], [1, 2, 4]), 0.5);
