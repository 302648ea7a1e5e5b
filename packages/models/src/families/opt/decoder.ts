// OPT (Zhang et al. 2022) for generation: learned positions, layer norms before each block or, in opt-350m, after it, ReLU.
import type { LinearWeights } from '@mixsga/backend';
import type { OptConfig } from './config';
import type { Transformer } from '../../decoder/transformer';
import type { WeightLoader } from '../../decoder/weight-loader';
import { hasLastNorm, layerName, POSITION_OFFSET } from './parameters';

/** `narrow`: as wide as the embeddings where these are projected. */
type Buffers = 'normed' | 'inner' | 'narrow';

export async function loadOpt(config: OptConfig, loader: WeightLoader): Promise<Transformer<Buffers>> {
  const { runtime } = loader;
  const { hidden_size: width, word_embed_proj_dim: narrow, do_layer_norm_before: normFirst } = config;
  const projected = narrow !== width;

  const tokens = await loader.linear('model.decoder.embed_tokens'); // and the head, which is tied to it
  const positions = await loader.linear('model.decoder.embed_positions', 'f32');
  const projectIn = projected ? await loader.linear('model.decoder.project_in') : null;
  const layers: Layer[] = [];
  for (let index = 0; index < config.num_hidden_layers; index++) layers.push(await loadLayer(index, loader));
  const lastNorm = hasLastNorm(config) ? await loader.norm('model.decoder.final_layer_norm') : null;
  const projectOut = projected ? await loader.linear('model.decoder.project_out') : null;

  return {
    buffers: { normed: width, inner: config.ffn_dim, narrow: projected ? narrow : 1 },
    scale: (width / config.num_attention_heads) ** -0.5,
    window: () => null,
    projections: layers.map(({ projections }) => projections),

    embed(ids, at, { x, narrow }) {
      runtime.embed(tokens, ids, projectIn ? narrow : x);
      if (projectIn) runtime.apply(projectIn, narrow, x, ids.length);
      runtime.addEmbedding(positions, at.map((position) => position + POSITION_OFFSET), x);
    },

    startLayer(index, { x, normed, q }, rows) {
      const { attentionNorm, q: projectQ } = layers[index]!;
      if (normFirst) runtime.layerNorm(x, attentionNorm.gain, attentionNorm.bias, normed, rows);
      const input = normFirst ? normed : x;
      runtime.apply(projectQ, input, q, rows);
      return input;
    },

    *finishLayer(index, { x, attended, normed, inner }, rows) {
      const { out, attentionNorm, finalNorm, fc1, fc2 } = layers[index]!;
      if (normFirst) {
        runtime.apply(out, attended, x, rows, { residual: x });
        yield;
        runtime.layerNorm(x, finalNorm.gain, finalNorm.bias, normed, rows);
        runtime.apply(fc1, normed, inner, rows, { activation: 'relu' });
        yield;
        runtime.apply(fc2, inner, x, rows, { residual: x });
      } else {
        runtime.apply(out, attended, normed, rows, { residual: x });
        yield;
        runtime.layerNorm(normed, attentionNorm.gain, attentionNorm.bias, x, rows);
        runtime.apply(fc1, x, inner, rows, { activation: 'relu' });
        yield;
        runtime.apply(fc2, inner, normed, rows, { residual: x });
        runtime.layerNorm(normed, finalNorm.gain, finalNorm.bias, x, rows);
      }
    },

    logits({ x, normed, narrow }, logits, rows) {
      if (lastNorm) runtime.layerNorm(x, lastNorm.gain, lastNorm.bias, normed, rows);
      const last = lastNorm ? normed : x;
      if (projectOut) runtime.apply(projectOut, last, narrow, rows);
      runtime.apply(tokens, projectOut ? narrow : last, logits, rows);
    },
  };
}

type Layer = Awaited<ReturnType<typeof loadLayer>>;

async function loadLayer(index: number, loader: WeightLoader) {
  const at = layerName(index);
  const linear = (name: string): Promise<LinearWeights> => loader.linear(`${at}.${name}`);
  return {
    attentionNorm: await loader.norm(`${at}.self_attn_layer_norm`),
    q: await linear('self_attn.q_proj'),
    projections: await loader.projections(index, `${at}.self_attn`),
    out: await linear('self_attn.out_proj'),
    finalNorm: await loader.norm(`${at}.final_layer_norm`),
    fc1: await linear('fc1'),
    fc2: await linear('fc2'),
  };
}
