// The experts of a text by its routers.
import type { LayerRouting, Rows, VectorRuntime } from '@mixsga/backend';
import type { Router } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';

/** What a layer's router makes of a text of T tokens: those after the prompt have their arg max under `prefill` too. */
export type LayerDecisions = Required<LayerRouting>;

/** How a text is routed. */
export interface TextRows {
  /** Tokens of the text. */
  readonly rows: number;
  /** Those that are routed together, by expert choice; each token after them by its own arg max. */
  readonly promptTokens: number;
}

/** A router's scores of some tokens, [1, rows, E]; the caller disposes them. */
export function routerScores(runtime: VectorRuntime, router: Router, x: Rows, rows: number): Tensor3D {
  return tf.tidy(() => router.score(runtime.tensor(x, rows)));
}

/** The experts of a prompt by expert choice, and of the tokens after it each by its own arg max. @param scores [1, T, E] */
export async function assignExperts(router: Router, scores: Tensor3D, text: TextRows): Promise<Int32Array> {
  const assigned = tf.tidy(() => assignment(router, scores, text));
  try {
    return Int32Array.from(await assigned.data());
  } finally {
    assigned.dispose();
  }
}

/** Both decisions, and the scores that they come from. @param scores [1, T, E] */
export async function layerDecisions(router: Router, scores: Tensor3D, text: TextRows): Promise<LayerDecisions> {
  const tensors = tf.tidy(() => ({ prefill: assignment(router, scores, text), decode: router.decode(scores) }));
  try {
    return {
      prefill: Int32Array.from(await tensors.prefill.data()),
      decode: Int32Array.from(await tensors.decode.data()),
      scores: Float32Array.from(await scores.data()),
    };
  } finally {
    tf.dispose(Object.values(tensors));
  }
}

/** @param scores [1, T, E] */
function assignment(router: Router, scores: Tensor3D, { rows, promptTokens: prompt }: TextRows): Tensor2D {
  if (prompt === rows) return router.assign(scores);
  if (prompt === 0) return router.decode(scores);
  const part = (from: number, count: number) => tf.slice(scores, [0, from, 0], [1, count, router.experts]) as Tensor3D;
  return tf.concat([router.assign(part(0, prompt)), router.decode(part(prompt, rows - prompt))], 1) as Tensor2D;
}
