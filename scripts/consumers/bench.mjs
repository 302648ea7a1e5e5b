import assert from 'node:assert/strict';
import { alignedTable, formatBenchTrain } from '@mixsga/bench';

assert.equal(alignedTable([['a', 'b'], ['x', '10']], [1]), 'a   b\nx  10');
assert.equal(typeof formatBenchTrain, 'function');
