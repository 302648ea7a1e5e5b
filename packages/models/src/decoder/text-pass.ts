import { nextTask, type Rows } from '@mixsga/backend';
import type { KvCache } from '@mixsga/kv-cache';
import type { Router } from '@mixsga/router';
import type { Decided } from './decisions';
import { throughExperts } from './expert-rows';
import type { Activations } from './family';
import type { Inspect } from './finite-logits';
import { allocateBuffers, attentionOf, disposeBuffers, embedTokens, windowOf, type Parts } from './parts';
import { routerInput } from './router-input';

export interface TextPassOptions {
  /** The experts of a layer's tokens. `x` is what the router reads, a row for each. */
  readonly decide: (router: Router, x: Rows) => Promise<Decided>;
  /** Takes the keys and values of every layer; empty, and to be committed by the caller. */
  readonly cache?: KvCache;
  /** The token whose keys and values become their mean over all KV heads, in every layer. */
  readonly collapsed?: number;
  readonly inspect?: Inspect | undefined;
  /** Aborts between two layers. */
  readonly signal?: AbortSignal;
}

/**
 * All layers over a text from position 0, in one pass.
 * @param use what to do with the last layer's activations, which are gone afterwards
 */
export async function passText<T>(
  parts: Parts, tokens: Int32Array, { decide, cache, collapsed, inspect, signal }: TextPassOptions, use: (a: Activations) => Promise<T>,
): Promise<T> {
  const { runtime, shape, transformer, routers, kvHeads } = parts;
  const { headDim } = shape;
  const rows = tokens.length;
  const buffers = allocateBuffers(parts, rows, { kv: true });
  const { a, angles } = buffers;
  const { k, v } = buffers.kv!;
  try {
    embedTokens(parts, tokens, Int32Array.from(tokens, (_, position) => position), buffers);
    await inspect?.(-1, a.x);
    for (let layer = 0; layer < shape.layers; layer++) {
      if (signal) {
        await nextTask();
        signal.throwIfAborted();
      }
      const stored = parts.cacheLayer[layer]!;
      const input = transformer.startLayer(layer, a, rows);
      if (angles) runtime.rotate(a.q, angles, rows);
      const weights = transformer.kv[layer]!;
      if (weights) {
        const router = routers[layer]?.router;
        runtime.project(weights, input, k, v, rows);
        if (angles) runtime.rotate(k, angles, rows);
        const { experts, margins }: Decided = router
          ? await decide(router, await routerInput(parts, layer, input, buffers.kv!, rows))
          : { experts: new Int32Array(rows) };
        const own = parts.experts[layer];
        if (own) {
          const plans = cache?.planRows(stored, experts) ?? null;
          await throughExperts({ k, v }, { runtime, experts: own, assigned: experts, type: parts.kv, plans });
        } else if (router) {
          runtime.group(weights, k, v, experts);
        }
        if (collapsed !== undefined) {
          const alone = new Int32Array(rows);
          alone[collapsed] = 1;
          runtime.group({ headDim, groupSizes: [1, kvHeads], pooling: 'mean' }, k, v, alone);
        }
        // As steps see them: what the cache gives back.
        if (parts.kv === 'int8' && !own) for (const x of [k, v]) runtime.roundToInt8(x, rows, headDim);
        if (cache && !own) runtime.storeRows(k, v, cache.planRows(stored, experts, margins));
      }
      runtime.causalAttention(a.q, k, v, a.attended, rows, {
        ...attentionOf(parts),
        kvHeads,
        ...windowOf(transformer, layer),
        ...(cache?.observes ? { onProbabilities: (received) => cache.observeRows(stored, received) } : {}),
      });
      transformer.finishLayer(layer, a, rows);
      await inspect?.(layer, a.x);
    }
    return await use(a);
  } finally {
    disposeBuffers(buffers);
  }
}
