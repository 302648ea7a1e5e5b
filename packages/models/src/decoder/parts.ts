// What a decoder is made of, and the buffers that its passes work in.
import type { InferenceRuntime, KvType, LayerAttention, Projected, Resident, Rows } from '@mixsga/backend';
import type { AttentionVariant } from '../attention/variant';
import type { ModelShape } from '../config/shape';
import type { Activations, Transformer } from './transformer';
import { LayerAngles } from './rotary';
import type { LayerRouter } from './weight-loader';

export interface Parts {
  readonly runtime: InferenceRuntime;
  readonly shape: ModelShape;
  readonly variant: AttentionVariant;
  readonly transformer: Transformer;
  readonly routers: readonly (LayerRouter | null)[];
  /** Keys and values of each layer; null where another layer's are read. */
  readonly attention: readonly (LayerAttention | null)[];
  /** Element type of cached keys and values. */
  readonly kvType: KvType;
  readonly owned: readonly Resident[];
  readonly fingerprint: string;
  /** KV heads that keys and values have before experts group them. */
  readonly kvHeads: number;
  /** Parameters of a layer, each a multiply-add for every token. */
  readonly layerParameters: number;
  /** Those of its largest matrix. */
  readonly largestMatrix: number;
  /** The cache's layer for each layer of the model. */
  readonly cacheLayer: readonly number[];
}

/** Activations of a pass over up to `capacity` tokens. */
export interface Buffers {
  readonly capacity: number;
  readonly a: Activations;
  /** Of the tokens' positions; null where the family has no rotary ones. */
  readonly angles: LayerAngles | null;
  /** Keys and values of all KV heads, and the distortions for routers that read these; null where a pass needs neither. */
  readonly projected: Projected | null;
}

/** Whether routers read what storing a token's keys and values would lose, instead of hidden states. */
function readsDistortion({ routers }: Parts): boolean {
  return routers.some((layer) => layer?.router.distortion);
}

/**
 * @param kv whether the pass needs {@link Buffers.projected}
 * @throws BackendError when there is no memory for all of them; then there are none
 */
export function allocateBuffers(parts: Parts, rows: number, { projects }: { projects: boolean }): Buffers {
  const { runtime, shape, transformer, kvHeads, variant } = parts;
  const queries = shape.heads * shape.headDim;
  const widths: Record<string, number> = { ...transformer.buffers, x: shape.hiddenSize, q: queries, attended: queries };
  const made: Rows[] = [];
  const make = (width: number) => {
    made.push(runtime.rows(rows, width));
    return made.at(-1)!;
  };
  try {
    return {
      capacity: rows,
      a: Object.fromEntries(Object.entries(widths).map(([name, width]) => [name, make(width)])) as unknown as Activations,
      angles: makeAngles(parts, make),
      projected: projects
        ? {
            k: make(kvHeads * shape.headDim),
            v: make(kvHeads * shape.headDim),
            lost: readsDistortion(parts) ? make(2 * (variant.experts!.ratios.length + 1)) : null,
          }
        : null,
    };
  } catch (error) {
    for (const resident of made) resident.dispose();
    throw error;
  }
}

export function disposeBuffers({ a, angles, projected }: Buffers): void {
  for (const rows of [...Object.values(a), angles, projected?.k, projected?.v, projected?.lost]) rows?.dispose();
}

/**
 * Room for angles; null without rotary positions. A layer that reads another's keys rotates its queries as those.
 * @param make rows of a width
 */
export function makeAngles({ shape, transformer, variant }: Parts, make: (width: number) => Rows): LayerAngles | null {
  if (!transformer.frequencies) return null;
  const frequencies = Array.from({ length: shape.layers }, (_, layer) => transformer.frequencies!(variant.kvSource(layer)));
  return new LayerAngles(frequencies, () => make(shape.headDim));
}

/** Token ids at positions, to x, and the angles of the positions. */
export function embedTokens({ runtime, transformer }: Parts, tokens: Int32Array, positions: Int32Array, { a, angles }: Buffers): void {
  transformer.embed(tokens, positions, a);
  angles?.write(runtime, positions);
}

/** What attention does alike in all layers. */
export function attentionOf({ shape, transformer }: Parts): { heads: number; scale: number; softCap?: number } {
  const { scale, softCap } = transformer;
  return softCap === undefined ? { heads: shape.heads, scale } : { heads: shape.heads, scale, softCap };
}

export function windowOf(transformer: Transformer, layer: number): { window?: number } {
  const window = transformer.window(layer);
  return window === null ? {} : { window };
}
