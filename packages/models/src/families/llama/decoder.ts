// Llama (Touvron et al. 2023; Llama 3, Grattafiori et al. 2024) for generation: RMSNorm, rotary positions, SwiGLU.
import type { LinearWeights } from '@mixsga/backend';
import type { LlamaConfig } from './config';
import { rotaryFrequencies } from '../../config/rope';
import type { Transformer } from '../../decoder/transformer';
import type { WeightLoader } from '../../decoder/weight-loader';
import { feedForward, loadFeedForward } from '../gated-feed-forward';
import { layerName } from '../gated-layers';

type Buffers = 'normed' | 'inner' | 'up';

export async function loadLlama(config: LlamaConfig, loader: WeightLoader): Promise<Transformer<Buffers>> {
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
    window: () => null,
    projections: layers.map(({ projections }) => projections),

    embed(ids, _positions, { x }) {
      runtime.embed(tokens, ids, x);
    },

    startLayer(index, { x, normed, q }, rows) {
      const { inputNorm, q: projectQ } = layers[index]!;
      runtime.rmsNorm(x, inputNorm, normed, rows, norm);
      runtime.apply(projectQ, normed, q, rows);
      return normed;
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
  return {
    inputNorm: await loader.vector(`${at}.input_layernorm`),
    q: await linear('self_attn.q_proj'),
    projections: await loader.projections(index, `${at}.self_attn`),
    out: await linear('self_attn.o_proj'),
    attentionNorm: await loader.vector(`${at}.post_attention_layernorm`),
    mlp: await loadFeedForward(loader, at),
  };
}
