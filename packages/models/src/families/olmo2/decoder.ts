// OLMo 2 (OLMo Team 2024) for generation: norms after each block and none before, queries and keys normalised over all heads, SwiGLU.
import type { LinearWeights } from '@mixsga/backend';
import type { Olmo2Config } from './config';
import { rotaryFrequencies } from '../../config/rope';
import type { Transformer } from '../../decoder/transformer';
import type { WeightLoader } from '../../decoder/weight-loader';
import { feedForward, loadFeedForward } from '../gated-feed-forward';
import { layerName } from '../gated-layers';

/** `block`: what attention or feed-forward gives, before its norm. */
type Buffers = 'inner' | 'up' | 'block';

export async function loadOlmo2(config: Olmo2Config, loader: WeightLoader): Promise<Transformer<Buffers>> {
  const { runtime } = loader;
  const { hidden_size: width, intermediate_size: inner, head_dim: headDim } = config;
  const norm = { epsilon: config.rms_norm_eps };
  const frequencies = rotaryFrequencies(config, headDim);

  const tokens = await loader.linear('model.embed_tokens');
  const layers: Layer[] = [];
  for (let index = 0; index < config.num_hidden_layers; index++) layers.push(await loadLayer(index, loader));
  const lastNorm = await loader.vector('model.norm');
  const head = config.tie_word_embeddings ? tokens : await loader.linear('lm_head');

  return {
    buffers: { inner, up: inner, block: width },
    scale: headDim ** -0.5,
    frequencies: () => frequencies,
    window: () => null,
    projections: layers.map(({ projections }) => projections),

    embed(ids, _positions, { x }) {
      runtime.embed(tokens, ids, x);
    },

    startLayer(index, { x, q }, rows) {
      const { q: projectQ, qNorm } = layers[index]!;
      runtime.apply(projectQ, x, q, rows);
      runtime.rmsNorm(q, qNorm, q, rows, norm);
      return x;
    },

    normKeys(index, k, rows) {
      runtime.rmsNorm(k, layers[index]!.kNorm!, k, rows, norm);
    },

    *finishLayer(index, { x, attended, inner, up, block }, rows) {
      const { out, attentionNorm, mlp, outerNorm } = layers[index]!;
      runtime.apply(out, attended, block, rows);
      yield;
      runtime.rmsNorm(block, attentionNorm, x, rows, { ...norm, residual: x });
      yield* feedForward(mlp, x, block, rows, { runtime, activation: 'silu', buffers: { inner, up } });
      runtime.rmsNorm(block, outerNorm, x, rows, { ...norm, residual: x });
    },

    logits({ x, block }, logits, rows) {
      runtime.rmsNorm(x, lastNorm, block, rows, norm);
      runtime.apply(head, block, logits, rows);
    },
  };
}

type Layer = Awaited<ReturnType<typeof loadLayer>>;

async function loadLayer(index: number, loader: WeightLoader) {
  const at = layerName(index);
  const linear = (name: string): Promise<LinearWeights> => loader.linear(`${at}.${name}`);
  const projections = await loader.projections(index, `${at}.self_attn`, { normed: true });
  return {
    q: await linear('self_attn.q_proj'),
    qNorm: await loader.vector(`${at}.self_attn.q_norm`),
    projections,
    kNorm: projections && (await loader.vector(`${at}.self_attn.k_norm`)),
    out: await linear('self_attn.o_proj'),
    attentionNorm: await loader.vector(`${at}.post_attention_layernorm`),
    mlp: await loadFeedForward(loader, at),
    outerNorm: await loader.vector(`${at}.post_feedforward_layernorm`),
  };
}
