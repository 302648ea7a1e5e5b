// Gemma 3 (Gemma Team 2025) for generation: as Gemma 2, with queries and keys normalised head by head instead of a cap on scores, and
// another rotary base in layers that slide.
import type { LinearWeights } from '@mixsga/backend';
import type { Gemma3Config } from './config';
import type { Transformer } from '../../decoder/transformer';
import type { WeightLoader } from '../../decoder/weight-loader';
import { feedForward, loadFeedForward } from '../gated-feed-forward';
import { layerName } from '../gated-layers';
import { embeddingFactor } from '../gemma2/parameters';
import { frequenciesOf, windowOf } from './parameters';

/** `block`: what attention or feed-forward gives, before its norm. */
type Buffers = 'normed' | 'inner' | 'up' | 'block';

export async function loadGemma3(config: Gemma3Config, loader: WeightLoader): Promise<Transformer<Buffers>> {
  const { runtime } = loader;
  const { hidden_size: width, intermediate_size: inner, final_logit_softcapping: logitCap } = config;
  const norm = { epsilon: config.rms_norm_eps };
  const factor = embeddingFactor(config);

  const tokens = await loader.linear('model.embed_tokens'); // and the head, which is tied to it
  const layers: Layer[] = [];
  for (let index = 0; index < config.num_hidden_layers; index++) layers.push(await loadLayer(index, loader));
  const lastNorm = await loader.gainFromOne('model.norm');

  return {
    buffers: { normed: width, inner, up: inner, block: width },
    scale: config.query_pre_attn_scalar ** -0.5,
    frequencies: frequenciesOf(config),
    window: (layer) => windowOf(config, layer),
    projections: layers.map(({ projections }) => projections),

    embed(ids, _positions, { x }) {
      runtime.embed(tokens, ids, x);
      runtime.scale(x, factor, ids.length);
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

    *finishLayer(index, { x, attended, normed, inner, up, block }, rows) {
      const { out, attentionNorm, innerNorm, mlp, outerNorm } = layers[index]!;
      runtime.apply(out, attended, block, rows);
      yield;
      runtime.rmsNorm(block, attentionNorm, x, rows, { ...norm, residual: x });
      runtime.rmsNorm(x, innerNorm, normed, rows, norm);
      yield* feedForward(mlp, normed, block, rows, { runtime, activation: 'gelu', buffers: { inner, up } });
      runtime.rmsNorm(block, outerNorm, x, rows, { ...norm, residual: x });
    },

    logits({ x, normed }, logits, rows) {
      runtime.rmsNorm(x, lastNorm, normed, rows, norm);
      runtime.apply(tokens, normed, logits, rows);
      if (logitCap !== null) runtime.softCap(logits, logitCap, rows);
    },
  };
}

type Layer = Awaited<ReturnType<typeof loadLayer>>;

async function loadLayer(index: number, loader: WeightLoader) {
  const at = layerName(index);
  const linear = (name: string): Promise<LinearWeights> => loader.linear(`${at}.${name}`);
  const projections = await loader.projections(index, `${at}.self_attn`, { normed: true });
  return {
    inputNorm: await loader.gainFromOne(`${at}.input_layernorm`),
    q: await linear('self_attn.q_proj'),
    qNorm: await loader.gainFromOne(`${at}.self_attn.q_norm`),
    projections,
    kNorm: projections && (await loader.gainFromOne(`${at}.self_attn.k_norm`)),
    out: await linear('self_attn.o_proj'),
    attentionNorm: await loader.gainFromOne(`${at}.post_attention_layernorm`),
    innerNorm: await loader.gainFromOne(`${at}.pre_feedforward_layernorm`),
    mlp: await loadFeedForward(loader, at),
    outerNorm: await loader.gainFromOne(`${at}.post_feedforward_layernorm`),
  };
}
