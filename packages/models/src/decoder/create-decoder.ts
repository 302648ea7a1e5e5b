import type { ModelConfig } from '../config/shape';
import { familyOf } from '../families/index';
import type { ParameterSource } from '../io/parameter-source';
import { CachedDecoder, type DecoderOptions } from './cached-decoder';

/**
 * A model on the active backend. Its weights are read and packed one parameter after the other, so that no more than one is
 * in memory twice.
 *
 * @param source every parameter by its Hugging Face name, of which those of routers may be missing
 * @throws FileError or ArgumentError when a parameter is missing or of another size; ArgumentError when the attention variant
 *   does not fit; BackendError when there is no memory for the weights
 */
export function createDecoder(
  config: ModelConfig, source: ParameterSource | ReadonlyMap<string, Float32Array>, options?: DecoderOptions,
): Promise<CachedDecoder> {
  return CachedDecoder.create(familyOf(config), config, source, options);
}
