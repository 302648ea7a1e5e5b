import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { hasKernel, runKernel, withGradient } from '../dispatch';
import { expectFloats, expectShape, expectType } from '../validate';
import { embeddingReference } from './reference';

/**
 * Rows of a table: y[i] = table[ids[i]].
 *
 * @param table float32 [rows, size]
 * @param ids int32 [count], each from 0 to rows − 1
 * @returns float32 [count, size]; differentiable in table
 * @throws ArgumentError when a shape or type does not fit, and on wasm when an id is out of range
 */
export function embedding(table: Tensor2D, ids: Tensor1D): Tensor2D {
  expectShape('embedding', 'table', table, [null, null]);
  expectShape('embedding', 'ids', ids, [null]);
  expectFloats('embedding', { table });
  expectType('embedding', 'ids', ids, 'int32');
  if (!hasKernel('MixsgaEmbedding')) return embeddingReference(table, ids);
  const rows = table.shape[0];
  return withGradient(
    [table],
    (save, [table]) => {
      save([ids]);
      return runKernel('MixsgaEmbedding', { table: table!, ids })[0]!;
    },
    (dy, [ids]) => runKernel('MixsgaEmbeddingGradient', { dy, ids: ids! }, { rows }),
  ) as Tensor2D;
}
