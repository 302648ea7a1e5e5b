// A step: one token into each of some caches, layer by layer.
import type { InferenceRuntime, Rows } from '@mixsga/backend';
import type { KvCache } from '@mixsga/kv-cache';
import type { StepOutput } from '../generation/decoder';
import { ExpertStep } from './expert-step';
import type { Inspect } from './finite-logits';
import { attentionOf, type Buffers, embedTokens, type Parts, windowOf } from './parts';
import { routerInput } from './router-input';

export interface StepOptions {
  readonly buffers: Buffers;
  /** Whether cached tokens are read back through experts. */
  readonly readsBack: boolean;
  /** What the last layer's activations give, and the experts of the routes since the last read. */
  readonly output: (buffers: Buffers, rows: number) => Promise<StepOutput & { readonly experts: Int32Array }>;
  readonly inspect?: Inspect | undefined;
}

/** A token in each of some caches. When it throws, no cache has changed. */
export async function decodeStep(
  parts: Parts, tokens: Int32Array, caches: readonly KvCache[], { buffers, readsBack, output, inspect }: StepOptions,
): Promise<StepOutput> {
  const { runtime, shape, transformer, routers, latents, cacheLayer } = parts;
  const rows = tokens.length;
  const { a } = buffers;
  let state: 'running' | 'committed' | 'failed' = 'running';
  const byExperts = readsBack ? new ExpertStep(parts, buffers, rows) : null;
  try {
    embedTokens(parts, tokens, Int32Array.from(caches, ({ tokensSeen }) => tokensSeen), buffers);
    if (inspect) await inspect(-1, a.x);
    const routes = caches.map(() => null) as (ReturnType<InferenceRuntime['route']> | null)[];
    for (let layer = 0; layer < shape.layers; layer++) {
      const stored = cacheLayer[layer]!;
      const input = transformer.startLayer(layer, a, rows);
      const angles = buffers.angles?.ofLayer(layer);
      if (angles) runtime.rotate(a.q, angles, rows);
      const kv = transformer.kv[layer]!;
      const views = caches.map((cache) => cache.view(stored, windowOf(transformer, layer)));
      // They may come as late as the next read, when this step has failed.
      const observers = caches.map((cache) => cache.observes && ((segment: number, received: Float32Array) => {
        if (state === 'running') cache.observe(stored, segment, received);
      }));
      if (byExperts) await byExperts.attend(layer, input, views, observers);
      else {
        const router = routers[layer];
        const latent = latents[layer];
        let read: Rows = input;
        if (kv && router?.router.distortion) {
          runtime.project(kv, input, buffers.kv!.k, buffers.kv!.v, rows);
          read = await routerInput(parts, layer, input, buffers.kv!, rows);
        }
        views.forEach((view, row) => {
          if (kv) {
            routes[row] = runtime.route(router?.tokens ?? null, read, row);
            if (latent) runtime.latents!.store(latent, input, row, routes[row], view);
            else runtime.store(kv, input, row, routes[row], view, angles);
          }
          const onProbabilities = observers[row] || undefined;
          const options = { ...attentionOf(parts), ...(onProbabilities && { onProbabilities }) };
          if (latent) runtime.latents!.attend(latent, a.q, row, view, routes[row]!, a.attended, options);
          else runtime.attend(a.q, row, view, routes[row]!, a.attended, options);
        });
      }
      for (const _ of transformer.finishLayer(layer, a, rows)); // at once: a token is little work
      if (inspect) await inspect(layer, a.x);
    }
    const { experts: routed, ...result } = kept(await output(buffers, rows), caches);
    // Routes come layer by layer, in each the rows of the batch; those of a step that failed may come before.
    const own = byExperts?.experts ?? routed.slice(-rows * transformer.kv.filter((kv) => kv).length);
    caches.forEach((cache, row) => cache.commit(own.filter((_, i) => i % rows === row)));
    state = 'committed';
    return result;
  } finally {
    if (state === 'running') {
      state = 'failed';
      // What a failed step observed must not count.
      for (const cache of caches) cache.truncate(cache.tokensSeen);
    }
  }
}

/** Logits that stay when the heap grows, as it may where a commit moves tokens. */
export function kept<Output extends StepOutput>(output: Output, caches: readonly KvCache[]): Output {
  return output.values && caches.some(({ moves }) => moves) ? { ...output, values: output.values.slice() } : output;
}
