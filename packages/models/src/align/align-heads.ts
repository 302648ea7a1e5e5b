// Head alignment before heads are averaged, of any family.
import { type ModelConfig, modelShape, type ModelShape } from '../config/shape';
import type { ModelFamily } from '../families/family';
import { familyOf } from '../families/index';
import type { ParameterSource } from '../io/parameter-source';
import { turnedColumns, turnedRows } from './apply';
import { alignLayer, type Grouping, type HeadShape, type LayerAlignment, type LayerMatrices } from './layer-alignment';
import { identity } from './matrix';

export type { Grouping } from './layer-alignment';

/**
 * The same model with its KV heads in another order and basis, in which the heads of a group are as alike as can be, so that their
 * mean loses least. Each layer's KV heads are permuted with their query heads; queries and keys, and values and the columns of the
 * output projection, are turned by orthogonal matrices that cancel, which with rotary positions are rotations of each pair by an
 * angle. Weights alone are looked at, nothing is random. Logits change by rounding only.
 *
 * Aligning heads by Procrustes analysis before they are merged is from Jin et al. 2024 (arXiv 2412.20677), on the way from MHA to GQA;
 * groups that nest, weighted by the shares of their tokens, are a change of this project.
 *
 * @param config of the source, which is as published
 * @param groupingOf the groups that a layer's heads are to be in
 * @returns parameters of the same names and shapes; K and V of a layer are in memory while it is aligned
 */
export function alignHeads(
  config: ModelConfig, source: ParameterSource, groupingOf: (layer: number) => Grouping,
): ParameterSource {
  const layout = new HeadLayout(config);
  const alignmentFrom = async (layer: number): Promise<LayerAlignment> => {
    const read = async (name: string | null) => (name === null ? null : source.read(name));
    const { k, v, gain, keyGain } = layout.names(layer);
    return layout.align(
      { k: await source.read(k), v: await source.read(v), gain: await read(gain), keyGain: await read(keyGain) }, groupingOf(layer),
    );
  };
  let latest: { layer: number; alignment: Promise<LayerAlignment> } | undefined;
  const alignmentOf = (layer: number): Promise<LayerAlignment> => {
    if (latest?.layer !== layer) latest = { layer, alignment: alignmentFrom(layer) };
    return latest.alignment;
  };
  return {
    has: (name) => source.has(name),
    async read(name) {
      const part = layout.partOf(name);
      return part ? layout.applied(part, await source.read(name), await alignmentOf(part.layer)) : source.read(name);
    },
  };
}

/** {@link alignHeads} of parameters in memory. @returns a new map, whose arrays may be those of the old */
export function alignHeadValues(
  config: ModelConfig, values: ReadonlyMap<string, Float32Array>, groupingOf: (layer: number) => Grouping,
): Map<string, Float32Array> {
  const layout = new HeadLayout(config);
  const alignments = Array.from({ length: modelShape(config).layers }, (_, layer) => {
    const valuesOf = (name: string | null) => (name === null ? null : values.get(name)!);
    const { k, v, gain, keyGain } = layout.names(layer);
    return layout.align({ k: values.get(k)!, v: values.get(v)!, gain: valuesOf(gain), keyGain: valuesOf(keyGain) }, groupingOf(layer));
  });
  return new Map([...values].map(([name, array]) => {
    const part = layout.partOf(name);
    return [name, part ? layout.applied(part, array, alignments[part.layer]!) : array];
  }));
}

/** A parameter that alignment changes. */
interface Part {
  readonly layer: number;
  readonly kind: 'q' | 'k' | 'v' | 'out' | 'qNorm' | 'kNorm';
}

const KINDS: Readonly<Record<string, Part['kind']>> = {
  q_proj: 'q', k_proj: 'k', v_proj: 'v', out_proj: 'out', o_proj: 'out', q_norm: 'qNorm', k_norm: 'kNorm',
};

/** Whether {@link alignHeads} changes the values of a parameter. */
export function isTurned(config: ModelConfig, name: string): boolean {
  return new HeadLayout(config).partOf(name) !== null;
}

/** Where a model has its heads. */
class HeadLayout {
  readonly #shape: ModelShape & HeadShape;
  readonly #family: ModelFamily;

  constructor(private readonly config: ModelConfig) {
    this.#family = familyOf(config);
    this.#shape = { ...modelShape(config), keyTurns: this.#family.heads.keyTurns };
  }

  /** What a name is of; null where alignment changes nothing, as at the bias of the output projection, or a norm's gain that is of all heads. */
  partOf(name: string): Part | null {
    const [, layer, module, tensor] = /\.layers\.(\d+)\.self_attn\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
    const kind = module === undefined ? undefined : KINDS[module];
    if (kind === undefined || (kind === 'out' && tensor === 'bias')) return null;
    if ((kind === 'qNorm' || kind === 'kNorm') && this.#family.heads.queryKeyNorm !== 'all') return null;
    return { layer: Number(layer), kind };
  }

  /** Names of what {@link align} takes. */
  names(layer: number): { k: string; v: string; gain: string | null; keyGain: string | null } {
    const at = `${this.#family.layerName(layer)}.self_attn`;
    const norm = this.#family.heads.norm(this.config, layer);
    return {
      k: `${at}.k_proj.weight`,
      v: `${at}.v_proj.weight`,
      gain: norm === null ? null : `${norm}.weight`,
      keyGain: this.#family.heads.queryKeyNorm ? `${at}.k_norm.weight` : null,
    };
  }

  /** @param stored as they are in a checkpoint */
  align(stored: LayerMatrices, grouping: Grouping): LayerAlignment {
    const gainOf = (values: Float32Array | null) => values?.map((value) => value + this.#family.heads.gainOffset) ?? null;
    return alignLayer({ ...stored, gain: gainOf(stored.gain), keyGain: gainOf(stored.keyGain) }, this.#shape, grouping);
  }

  applied({ kind }: Part, array: Float32Array, { order, keyTurns, valueTurns }: LayerAlignment): Float32Array {
    const { heads, kvHeads, headDim } = this.#shape;
    if (kind === 'out') return turnedColumns(array, order, valueTurns, headDim, heads);
    const count = kind === 'q' || kind === 'qNorm' ? heads : kvHeads;
    // The gain of an element stays where its element turns to itself or its opposite.
    if (kind === 'qNorm' || kind === 'kNorm') return turnedRows(array, order, order.map(() => identity(headDim)), headDim, count);
    return turnedRows(array, order, kind === 'v' ? valueTurns : keyTurns, headDim, count);
  }
}
