import type { InferenceRuntime, Resident, WeightType } from '@mixsga/backend';
import { type OptConfig, parseAttention } from '@mixsga/models';

/**
 * Bytes of weights that a decode step of an OPT reads, as the runtime packs them: every matrix and vector once, of the
 * embedding tables the token's rows, and of the key and value projections those to the heads that the token's expert stores; in their place what
 * latents go through. What experts of other types have beside is left out.
 *
 * @param expertShares share of the tokens that each expert gets; [1] where there is one
 */
export function stepWeightBytes(
  runtime: InferenceRuntime, config: OptConfig, type: WeightType, expertShares: readonly number[],
): number {
  const { hidden_size: width, num_attention_heads: heads, num_hidden_layers: layers, ffn_dim: inner, vocab_size: vocabulary } = config;
  const variant = parseAttention(config.mixsga?.attention ?? 'mha');
  const kvWidth = (variant.storedKvHeads(heads) * width) / heads;

  const matrix = (outputs: number, inputs: number, as = type, bias = true) => {
    const weight = new Float32Array(outputs * inputs);
    return sizeOf(runtime.packLinear({ weight, bias: bias ? new Float32Array(outputs) : null, outputs, inputs }, as));
  };
  const norm = 2 * sizeOf(runtime.vector(new Float32Array(width)));
  const latent = variant.formats.constants && variant.formats.stored({ kvHeads: heads, headDim: width / heads })[0]!.stored.headDim;
  const keysAndValues = () => {
    if (latent) return matrix(latent, width) + heads * (matrix(latent, width / heads, 'f32', false) + matrix(width / heads, latent, 'f32'));
    const stored = (size: number) => 2 * matrix(kvWidth / size, width);
    const { grouping } = variant.formats;
    if (!grouping) return stored(1);
    return grouping.groupSizes.reduce((sum, size, expert) => sum + expertShares[expert]! * stored(size), 0);
  };
  const router = () => {
    if (!variant.experts) return 0;
    const outputs = variant.experts.sizes.length;
    const packed = runtime.packRouter({ weight: new Float32Array(outputs * width), bias: new Float32Array(outputs), outputs, inputs: width });
    return packed ? sizeOf(packed) : 4 * outputs * (width + 1); // else it decides by its parameters as they are
  };
  const layer = 2 * norm + 2 * matrix(width, width) + keysAndValues() + router() + matrix(inner, width) + matrix(width, inner);
  const head = matrix(vocabulary, width, type, false);
  return Math.round(layers * layer + norm + head + head / vocabulary + 4 * width);
}

function sizeOf(resident: Resident): number {
  const { bytes } = resident;
  resident.dispose();
  return bytes;
}
