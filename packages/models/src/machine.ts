// What this machine can hold of a model.
import { BackendError, weightTypes, type WeightType } from '@mixsga/backend';
import type { AttentionVariant } from './attention/variant';
import { modelShape } from './config/shape';
import { kvBytes, modelCost, pooledBytes } from './cost';
import type { ModelConfig } from './config/shape';

/** A way to run a model here. */
export interface Fit {
  readonly backend: 'wasm' | 'webgpu';
  readonly weights: WeightType;
  /** Tokens that the cache of one sequence has room for, at most the model's context length. */
  readonly tokens: number;
}

export interface MachineLimits {
  /** Bytes of memory, null where unknown. */
  readonly memory: number | null;
  /** Bytes that a buffer of the WebGPU device can have; null where no adapter is at hand. */
  readonly webgpuBuffer: number | null;
}

/** WebAssembly addresses 32 bits. */
const WASM_HEAP = 2 ** 32;
/** Share that weights and cache may take; the rest is for activations and a parameter on its way. */
const USABLE = 0.9;

/** Every type of weights on wasm, and on WebGPU where there is an adapter, that fits with at least a token of context. */
export function whatFits(config: ModelConfig, variant: AttentionVariant, { memory, webgpuBuffer }: MachineLimits): Fit[] {
  const shape = modelShape(config);
  const { weightBytes, largestBytes } = modelCost(config, variant);
  const fits: Fit[] = [];
  for (const weights of weightTypes) {
    const left = USABLE * Math.min(WASM_HEAP, memory ?? WASM_HEAP) - weightBytes[weights] - pooledBytes(config, variant, weights);
    const tokens = Math.min(shape.contextLength, Math.floor(left / kvBytes(shape, variant)));
    if (tokens > 0) fits.push({ backend: 'wasm', weights, tokens });
  }
  for (const weights of weightTypes) {
    // A device tells no more of its memory than what one buffer can have.
    if (webgpuBuffer !== null && largestBytes[weights] <= webgpuBuffer) fits.push({ backend: 'webgpu', weights, tokens: shape.contextLength });
  }
  return fits;
}

/**
 * Says before anything is loaded that a model will not fit, by the estimate of {@link whatFits}, and what would.
 * @param backend the active one's name; of another than wasm and webgpu nothing is known
 * @throws BackendError when it does not fit with these weights
 */
export function expectFits(
  name: string, config: ModelConfig, variant: AttentionVariant, backend: string, weights: WeightType, limits: MachineLimits,
): void {
  if (backend !== 'wasm' && (backend !== 'webgpu' || limits.webgpuBuffer === null)) return;
  const fits = whatFits(config, variant, limits);
  if (fits.some((fit) => fit.backend === backend && fit.weights === weights)) return;
  const size = megabytes(modelCost(config, variant).weightBytes[weights] + pooledBytes(config, variant, weights));
  const room = backend === 'wasm' ? `, and ${megabytes(USABLE * Math.min(WASM_HEAP, limits.memory ?? WASM_HEAP))} are usable` : '';
  const others = fits.filter((fit) => fit.backend === backend).map((fit) => `${fit.weights} with ${fit.tokens.toLocaleString('en')} tokens`);
  const advice = others.length > 0 ? `choose other weights (--weights): ${others.join(', or ')} fit` : 'choose a smaller model or another backend';
  throw new BackendError(`${name}: its weights as ${weights} take ${size} on ${backend}${room}; ${advice}`);
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6).toLocaleString('en')} MB`;
}

/**
 * Of the machine that this runs on.
 * @param withWebgpu whether to ask for an adapter: a browser that has none warns on its console
 */
export async function machineLimits(withWebgpu = true): Promise<MachineLimits> {
  const { navigator } = globalThis as { navigator?: { gpu?: GPU; deviceMemory?: number } };
  const adapter = (withWebgpu && (await navigator?.gpu?.requestAdapter().catch(() => null))) || null;
  const webgpuBuffer = adapter && Math.min(adapter.limits.maxBufferSize, adapter.limits.maxStorageBufferBindingSize);
  return { memory: await memoryBytes(navigator?.deviceMemory), webgpuBuffer };
}

async function memoryBytes(gibibytes: number | undefined): Promise<number | null> {
  if (typeof process !== 'undefined' && process.versions?.node) return (await import('node:os')).totalmem();
  return gibibytes === undefined ? null : gibibytes * 2 ** 30;
}
