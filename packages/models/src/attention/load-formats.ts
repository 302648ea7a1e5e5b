// The formats of a layer, made with the tensors that a checkpoint has of them.
import { ArgumentError } from '@mixsga/backend';
import type { KvFormat } from '@mixsga/experts';
import * as tf from '@tensorflow/tfjs-core';
import type { Variable } from '@tensorflow/tfjs-core';
import type { ModelShape } from '../config/shape';
import { formatLayout, type AttentionVariant } from './variant';

/** Formats, and their constants by name: variables that are not trained, which the caller disposes. */
interface LoadedFormats {
  readonly formats: readonly KvFormat[];
  readonly constants: ReadonlyMap<string, Variable>;
}

/**
 * The formats of a layer with the constants that they are made with; null where the layer has no keys and values of its own.
 *
 * @param at the layer's attention, such as `model.decoder.layers.0.self_attn`
 * @param read a constant by its name in a checkpoint
 * @throws ArgumentError when a constant has another size, or values that it cannot have
 */
export async function loadFormats(
  shape: ModelShape, variant: AttentionVariant, layer: number, at: string, read: (name: string) => Promise<Float32Array>,
): Promise<LoadedFormats | null> {
  const { formats } = variant;
  if (variant.kvSource(layer) !== layer) return null;
  const layout = formatLayout(variant, shape);
  const shapes = formats.constants?.shapes(layout) ?? new Map<string, number[]>();
  const values = new Map<string, Float32Array>();
  for (const [name, own] of shapes) {
    const array = await read(`${at}.${name}`);
    if (array.length !== own.reduce((a, b) => a * b)) {
      throw new ArgumentError(`${at}.${name}: expected shape [${own.join(', ')}], got ${array.length} values; do config.json and weights belong together?`);
    }
    values.set(name, array);
  }
  try {
    formats.constants?.check(values, layout);
  } catch (error) {
    throw ArgumentError.isInstance(error) ? new ArgumentError(`${at}: ${error.message}`, { cause: error }) : error;
  }
  const constants = new Map([...shapes].map(([name, own]) => [name, tf.tidy(() => tf.variable(tf.tensor(values.get(name)!.slice(), own), false))]));
  try {
    return { formats: formats.create(layout, constants), constants };
  } catch (error) {
    tf.dispose([...constants.values()]);
    throw error;
  }
}
