/** The attention of a model that a variant is for. */
interface AttentionShape {
  /** KV heads of the unmodified model. */
  readonly kvHeads: number;
  readonly layers: number;
}

/** How keys and values are grouped, shared and routed: all that a model and its accounting ask of a variant. */
export interface AttentionVariant {
  /** Canonical text, which `parseAttention` reads back. */
  readonly spec: string;

  /** Stored K/V numbers as a share of the unmodified model's, without an expert index. */
  readonly kvBudget: number;

  /** The experts that tokens are routed to, the most expensive first, or null when every token is treated alike. */
  readonly experts: {
    /** Capacity ratios, sum 1: the share of the tokens of all layers that each expert takes. */
    readonly ratios: readonly number[];
    /** Those of one layer, where layers may differ; {@link ratios} is their mean. */
    ratiosOf(layer: number): readonly number[];
    /**
     * The same experts with other ratios.
     * @param byLayer of each layer, normalised or not; rounded to 4 digits
     * @param budget the KV budget to state, if any
     * @throws ArgumentError when the ratios are none, or keep another budget
     */
    withRatios(byLayer: readonly (readonly number[])[], budget?: number): AttentionVariant;
    readonly groupSizes: readonly number[];
    /** What a group of heads becomes, see `groupMean`. */
    readonly pooling: 'mean' | 'root';
  } | null;

  /** Heads that the K and V projections have, out of the unmodified model's KV heads. */
  storedKvHeads(kvHeads: number): number;

  /** The layer whose keys and values a layer attends to: itself, or one before it. */
  kvSource(layer: number): number;

  /** @throws ArgumentError when the variant does not fit the model, saying what would. */
  validate(shape: AttentionShape): void;
}

/** The layers that have keys and values of their own, in ascending order. */
export function storingLayers(layers: number, { kvSource }: AttentionVariant): number[] {
  return Array.from({ length: layers }, (_, layer) => layer).filter((layer) => kvSource(layer) === layer);
}

/** An entry of the catalog. */
export interface AttentionKind {
  /** What a spec of this kind looks like, for help texts and errors. */
  readonly form: string;
  readonly example: string;
  readonly description: string;

  /**
   * @param parameters what follows the kind's name and a colon; null when there is no colon
   * @returns null when that is not of this kind's form
   * @throws ArgumentError when it is of the form and its numbers are wrong
   */
  parse(parameters: string | null): AttentionVariant | null;
}
