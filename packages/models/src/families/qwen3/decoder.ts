// Qwen 3 (Qwen Team 2025) for generation: a Llama whose queries and keys are normalised head by head before they rotate.
import type { LinearWeights } from '@mixsga/backend';
import type { Qwen3Config } from './config';
import { rotaryFrequencies } from '../../config/rope';
import type { Transformer } from '../../decoder/transformer';
import type { WeightLoader } from '../../decoder/weight-loader';
import { feedForward, loadFeedForward } from '../gated-feed-forward';
import { layerName } from '../gated-layers';

type Buffers = 'normed' | 'inner' | 'up';

export async function loadQwen3(config: Qwen3Config, loader: WeightLoader): Promise<Transformer<Buffers>> {
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
    buffers: { normed: width, inner, up: inner },
    scale: headDim ** -0.5,
    frequencies: () => frequencies,
    window: (layer) => (config.layer_types[layer] === 'sliding_attention' ? config.sliding_window : null),
    projections: layers.map(({ projections }) => projections),

    embed(ids, _positions, { x }) {
      runtime.embed(tokens, ids, x);
    },

    startLayer(index, { x, normed, q }, rows) {
      const { inputNorm, q: projectQ, qNorm } = layers[index]!;
      runtime.rmsNorm(x, inputNorm, normed, rows, norm);
      runtime.apply(projectQ, normed, q, rows);
      runtime.rmsNorm(q, qNorm, q, rows, norm);
      return normed;
    },

    normKeys(index, k, rows) {
      runtime.rmsNorm(k, layers[index]!.kNorm!, k, rows, norm);
    },

    *finishLayer(index, { x, attended, normed, inner, up }, rows) {
      const { out, attentionNorm, mlp } = layers[index]!;
      runtime.apply(out, attended, x, rows, { residual: x });
      yield;
      runtime.rmsNorm(x, attentionNorm, normed, rows, norm);
      yield* feedForward(mlp, normed, x, rows, { runtime, activation: 'silu', buffers: { inner, up }, residual: x });
    },

    logits({ x, normed }, logits, rows) {
      runtime.rmsNorm(x, lastNorm, normed, rows, norm);
      runtime.apply(head, normed, logits, rows);
    },
  };
}

type Layer = Awaited<ReturnType<typeof loadLayer>>;

async function loadLayer(index: number, loader: WeightLoader) {
  const at = layerName(index);
  const linear = (name: string): Promise<LinearWeights> => loader.linear(`${at}.${name}`);
  const projections = await loader.projections(index, `${at}.self_attn`, { normed: true });
  return {
    inputNorm: await loader.vector(`${at}.input_layernorm`),
    q: await linear('self_attn.q_proj'),
    qNorm: await loader.vector(`${at}.self_attn.q_norm`),
    projections,
    kNorm: projections && (await loader.vector(`${at}.self_attn.k_norm`)),
    out: await linear('self_attn.o_proj'),
    attentionNorm: await loader.vector(`${at}.post_attention_layernorm`),
    mlp: await loadFeedForward(loader, at),
  };
}
