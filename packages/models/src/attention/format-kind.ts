// Variants whose tokens are all stored alike, by one format: NAME.
import type { FormatLayout, KvFormat, StoredFormat } from '@mixsga/experts';
import { expectRotation } from './mixture';
import type { AttentionKind, AttentionShape, AttentionVariant } from './variant';

/** What tells one kind of a single format from another. Where tokens are routed to several, see `MixtureForm`. */
export interface FormatForm {
  /** The whole spec. */
  readonly name: string;
  readonly description: string;
  /** Whether the format takes keys that were rotated by their positions, as those of all families but OPT are. */
  readonly takesRotatedKeys: boolean;
  /** How many times fewer dimensions, or bits where the format packs its own, than the unmodified model it stores of a token; scales need not count. */
  readonly compression: number;
  create(layout: FormatLayout): KvFormat;
  /** What {@link create} stores, where that is needed without a backend. Default: that of {@link create}, which then makes no tensor. */
  stored?(layout: FormatLayout): StoredFormat;
  /** @throws ArgumentError when the format does not fit the model, saying what would */
  check?(shape: AttentionShape): void;
}

/** A kind of attention that stores every token of every layer by one format, without routing and without a parameter in its spec. */
export function formatKind(form: FormatForm): AttentionKind {
  const { name, description, takesRotatedKeys, compression } = form;
  const formats = {
    takesRotatedKeys,
    grouping: null,
    stored: (layout: FormatLayout) => [form.stored?.(layout) ?? form.create(layout)],
    create: (layout: FormatLayout) => [form.create(layout)],
  };
  const variant: AttentionVariant = {
    spec: name,
    kvShare: 1 / compression,
    experts: null,
    formats,
    storedKvHeads: (kvHeads) => kvHeads,
    kvSource: (layer) => layer,
    validate(shape) {
      form.check?.(shape);
      expectRotation(name, formats, shape);
    },
  };
  return { form: name, example: name, description, parse: (parameters) => (parameters === null ? variant : null) };
}
