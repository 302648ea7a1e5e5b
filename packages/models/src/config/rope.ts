// Rotary positions (Su et al. 2021), and how Llama 3 stretches them.
import { FileError } from '@mixsga/backend';
import { z } from 'zod';
import { count, positive } from './keys';
import { otherRopeKeys } from './other-keys';

const kind = z.enum(['default', 'linear', 'llama3'], { error: 'expected default, linear or llama3, the only ones implemented' });

const scaling = {
  rope_type: kind.nullish(),
  /** Its name before it was `rope_type`. */
  type: kind.nullish(),
  factor: positive.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  original_max_position_embeddings: count.nullish(),
};

const parameters = { ...scaling, rope_theta: positive.nullish() };

/** An object that says how positions rotate, of all layers or of one type of them. */
export const ropeObject = z.looseObject(parameters);

/** {"sliding_attention": {…}, "full_attention": {…}} as the one that all types of layers have; as it is where they differ. */
function ofAllLayers(value: unknown): unknown {
  const types = Object.entries(value ?? {});
  if (types.length === 0 || !types.every(([key, one]) => key.endsWith('_attention') && (one === null || typeof one === 'object'))) return value;
  const different = new Set(types.map(([, one]) => JSON.stringify(Object.entries(one ?? {}).sort())));
  return different.size === 1 ? types[0]![1] : value;
}

/** Keys of config.json about rotary positions. */
export const ropeKeys = {
  rope_theta: positive.nullish(),
  rope_scaling: ropeObject.nullish(),
  /** Both in one, as transformers 5 writes them; of families with several types of layers, one for each type. */
  rope_parameters: z.preprocess(ofAllLayers, ropeObject.nullish()),
};

export type RopeScaling =
  | { readonly rope_type: 'linear'; readonly factor: number }
  | {
      readonly rope_type: 'llama3';
      readonly factor: number;
      readonly low_freq_factor: number;
      readonly high_freq_factor: number;
      readonly original_max_position_embeddings: number;
    };

export interface RopeConfig {
  rope_theta: number;
  /** Absent: frequencies are as they are. */
  rope_scaling?: RopeScaling;
}

const keys = { linear: ['factor'], llama3: ['factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings'] } as const;

type Parsed = z.output<z.ZodObject<typeof ropeKeys>>;

/**
 * Keys of the objects among {@link ropeKeys} that are not known and change nothing.
 * @throws FileError naming one that would change what the model computes
 */
export function unknownRopeKeys(parsed: Parsed, where: string): string[] {
  // What differs by type of layer, parseRope refuses.
  const types = ['sliding_attention', 'full_attention'];
  return (['rope_scaling', 'rope_parameters'] as const).flatMap((field) => unknownKeysOfRope(parsed[field], field, where, types));
}

/** The same of one {@link ropeObject}. @param also keys that are known beside those of every kind */
export function unknownKeysOfRope(rope: z.output<typeof ropeObject> | null | undefined, field: string, where: string, also: readonly string[] = []): string[] {
  return otherRopeKeys(rope ?? {}, [...Object.keys(parameters), ...also], field, where);
}

export interface RopeOptions {
  /** Base where none is given. Default 10,000. */
  readonly theta?: number;
  /** What errors call `rope_parameters`. */
  readonly field?: string;
}

/**
 * Either way of writing them, as one.
 * @throws FileError when the two contradict each other, or a number that the kind needs is missing
 */
export function parseRope({ rope_theta, rope_scaling, rope_parameters }: Parsed, where: string, options: RopeOptions = {}): RopeConfig {
  if (rope_scaling == null || rope_parameters == null) return parseOne({ rope_theta, rope_scaling, rope_parameters }, where, options);
  const scaling = parseOne({ rope_theta, rope_scaling }, where, options);
  const joined = parseOne({ rope_theta, rope_parameters }, where, options);
  if (JSON.stringify(scaling.rope_scaling) !== JSON.stringify(joined.rope_scaling)) {
    throw new FileError(where, `${options.field ?? 'rope_parameters'}: expected what rope_scaling says, got others; leave one of them out`);
  }
  return joined;
}

function parseOne({ rope_theta, rope_scaling, rope_parameters }: Parsed, where: string, options: RopeOptions): RopeConfig {
  const field = rope_parameters ? (options.field ?? 'rope_parameters') : 'rope_scaling';
  const given = rope_parameters ?? rope_scaling;
  const layerType = Object.keys(rope_parameters ?? {}).find((key) => key.endsWith('_attention'));
  if (layerType !== undefined) throw new FileError(where, `rope_parameters: expected the same for all types of layers, the only ones implemented, got others for ${layerType}`);
  const joined = given?.rope_theta;
  if (rope_theta != null && joined != null && rope_theta !== joined) {
    throw new FileError(where, `${field}.rope_theta: expected ${rope_theta}, as rope_theta says, got ${joined}`);
  }
  const base = { rope_theta: joined ?? rope_theta ?? options.theta ?? 10_000 };
  if (!given) return base;
  if (given.rope_type != null && given.type != null && given.rope_type !== given.type) {
    throw new FileError(where, `${field}.type: expected ${given.rope_type}, as rope_type says, got ${given.type}`);
  }
  const name = given.rope_type ?? given.type ?? (rope_parameters ? 'default' : null);
  if (name === null) throw new FileError(where, `${field}.rope_type: expected default, linear or llama3, got nothing`);
  if (name === 'default') return base;
  const numbers = keys[name].map((key) => {
    if (given[key] == null) throw new FileError(where, `${field}.${key}: expected a number, which ${name} scaling needs, got nothing`);
    return [key, given[key]] as const;
  });
  if (name === 'llama3' && given.high_freq_factor! <= given.low_freq_factor!) {
    const [low, high] = [given.low_freq_factor, given.high_freq_factor];
    throw new FileError(where, `${field}.high_freq_factor: expected more than low_freq_factor ${low}, got ${high}`);
  }
  return { ...base, rope_scaling: { rope_type: name, ...Object.fromEntries(numbers) } as RopeScaling };
}

/** Radians from one position to the next, for each of the pairs of a head: float32 [headDim/2], computed in float32 as in PyTorch. */
export function rotaryFrequencies({ rope_theta, rope_scaling }: RopeConfig, headDim: number): Float32Array {
  const plain = Float32Array.from({ length: headDim / 2 }, (_, i) => 1 / Math.fround(rope_theta ** Math.fround((2 * i) / headDim)));
  if (!rope_scaling) return plain;
  const { factor } = rope_scaling;
  if (rope_scaling.rope_type === 'linear') return plain.map((frequency) => frequency / factor);
  const { low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = rope_scaling;
  return plain.map((frequency) => {
    const turns = (original * frequency) / (2 * Math.PI);
    if (turns > high) return frequency;
    if (turns < low) return frequency / factor;
    const smooth = (turns - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}
