// What this machine can hold of a model, and what is said where it cannot.
import { BackendError, expectOptions, kvTypes, type WeightType, weightTypes } from '@mixsga/backend';
import { parseAttention } from '../attention/index';
import type { AttentionVariant } from '../attention/variant';
import { modelShape, type ModelConfig } from '../config/shape';
import { modelCost } from './cost';
import { TRAINING_LOAD, runningMemory, sumOf, trainingMemory, type RunningTypes, type TrainingLoad, type Workload } from './memory';

/** A way to run a model here. */
export interface Fit {
  readonly backend: 'wasm' | 'webgpu';
  readonly weights: WeightType;
  /** Tokens of a prompt that there is room for, with their cache; at most the model's context length. */
  readonly tokens: number;
}

export interface MachineLimits {
  /** Bytes of memory, of the machine or of the container; null where unknown. */
  readonly memory: number | null;
  /** Bytes that a buffer of the WebGPU device can have; null where no adapter is at hand. */
  readonly webgpuBuffer: number | null;
}

/** WebAssembly addresses 32 bits. */
const WASM_HEAP = 2 ** 32;
/** Share that weights, cache and a pass may take; the rest is for logits, working memory and a parameter on its way. */
const USABLE = 0.9;

function roomOf({ memory }: MachineLimits): number {
  return USABLE * Math.min(WASM_HEAP, memory ?? WASM_HEAP);
}

/** Every type of weights on wasm, and on WebGPU where there is an adapter, that fits with at least a token of context. */
export function whatFits(config: ModelConfig, variant: AttentionVariant, limits: MachineLimits): Fit[] {
  const { contextLength } = modelShape(config);
  const fits: Fit[] = [];
  for (const weights of weightTypes) {
    const tokens = tokensThatFit(config, variant, { weights }, limits);
    if (tokens > 0) fits.push({ backend: 'wasm', weights, tokens });
  }
  for (const weights of weightTypes) {
    // A device tells no more of its memory than what one buffer can have.
    if (limits.webgpuBuffer !== null && modelCost(config, variant).largestBytes[weights] <= limits.webgpuBuffer) {
      fits.push({ backend: 'webgpu', weights, tokens: contextLength });
    }
  }
  return fits;
}

/** Tokens of a prompt of each of some sequences that there is room for on wasm, at most the context length; below 1 where the weights do not fit. */
function tokensThatFit(
  config: ModelConfig, variant: AttentionVariant, types: RunningTypes, limits: MachineLimits,
  { sequences = 1, passTokens = 0, cachedTokens = 0 }: Workload = {},
): number {
  const cached = passTokens > 0 && cachedTokens === 0 ? 0 : 1;
  const bytes = (tokens: number) => sumOf(runningMemory(config, variant, types, { sequences, passTokens: tokens, cachedTokens: cached * tokens }));
  const left = roomOf(limits) - bytes(0);
  return Math.min(modelShape(config).contextLength, Math.floor(left / (bytes(1) - bytes(0))));
}

/**
 * Says before anything is loaded that a model will not fit with what it is to do, by the estimate of {@link whatFits}, and what would.
 * @param backend the active one's name; of another than wasm and webgpu nothing is known
 * @param workload what is known of what it is to do; default: a token
 * @throws BackendError when it does not fit
 */
export function expectFits(
  name: string, config: ModelConfig, variant: AttentionVariant, backend: string, types: RunningTypes, limits: MachineLimits, workload?: Workload,
): void {
  if (backend === 'webgpu') expectBuffer(name, config, variant, types, limits);
  if (backend !== 'wasm') return;
  const load = workload ?? { passTokens: 1, cachedTokens: 1 };
  const needed = runningMemory(config, variant, types, load);
  if (sumOf(needed) <= roomOf(limits)) return;
  const { sequences = 1, passTokens = 0, cachedTokens = 0 } = load;
  const many = sequences > 1 ? ` of ${sequences} sequences` : '';
  const parts = [
    `its weights as ${types.weights} take ${megabytes(needed.weights)}`,
    ...(workload && needed.cache > 0 ? [`a KV cache of ${count(cachedTokens)} tokens${many} ${megabytes(needed.cache)}`] : []),
    ...(workload && needed.pass > 0 ? [`a pass over ${count(passTokens)} tokens ${megabytes(needed.pass)}`] : []),
  ];
  const advice = adviceFor(config, variant, types, limits, workload);
  throw new BackendError(`${name}: ${parts.join(', ')} on wasm, and ${megabytes(roomOf(limits))} are usable; ${advice}`);
}

function expectBuffer(name: string, config: ModelConfig, variant: AttentionVariant, { weights }: RunningTypes, limits: MachineLimits): void {
  if (limits.webgpuBuffer === null) return;
  const fits = whatFits(config, variant, limits).filter(({ backend }) => backend === 'webgpu');
  if (fits.some((fit) => fit.weights === weights)) return;
  const others = fits.map((fit) => fit.weights);
  const advice = others.length > 0 ? `choose other weights (--weights): ${others.join(' or ')}` : 'choose a smaller model or another backend';
  throw new BackendError(`${name}: its weights as ${weights} take ${megabytes(runningMemory(config, variant, { weights }).weights)} on webgpu; ${advice}`);
}

/** What would fit, the least change first. */
function adviceFor(config: ModelConfig, variant: AttentionVariant, types: RunningTypes, limits: MachineLimits, workload: Workload | undefined): string {
  const room = roomOf(limits);
  const bytes = (other: RunningTypes, load: Workload = workload ?? {}) => sumOf(runningMemory(config, variant, other, load));
  const ways: string[] = [];
  if (workload?.cachedTokens) {
    for (const kv of kvTypes) if (kv !== (types.kv ?? 'f32') && bytes({ ...types, kv }) <= room) ways.push(`an ${kv} cache (--kv ${kv})`);
  }
  for (const weights of weightTypes) {
    const tokens = tokensThatFit(config, variant, { ...types, weights }, limits, workload);
    if (weights === types.weights || tokens < 1 || bytes({ ...types, weights }) > room) continue;
    ways.push(`${weights} weights (--weights ${weights}), which leave room for ${count(tokens)} tokens`);
  }
  const budget = workload && budgetThatFits(config, variant, types, room, workload);
  if (budget) ways.push(`a KV budget of at most ${budget} bytes (--kv-budget ${budget})`);
  if (workload?.cachedTokens || workload?.passTokens) {
    const tokens = tokensThatFit(config, variant, types, limits, workload);
    if (tokens > 0) ways.push(`at most ${count(tokens)} tokens of text at a time`);
    else if ((workload.sequences ?? 1) > 1 && tokensThatFit(config, variant, types, limits) > 0) ways.push('fewer sequences at a time');
  }
  return ways.length === 0 ? 'choose a smaller model or another backend' : `choose ${ways.join(', or ')}`;
}

/** A cache in fewer bytes than this share of what its tokens take in full is worth no advice. */
const LEAST_BUDGET = 1 / 16;

/** Bytes of the cache of each sequence that there is room for; null where that is too little, or no budget can be kept. */
function budgetThatFits(config: ModelConfig, variant: AttentionVariant, types: RunningTypes, room: number, workload: Workload): number | null {
  const { cachedTokens = 0, sequences = 1 } = workload;
  const { cache: full } = runningMemory(config, variant, types, { cachedTokens });
  const window = (config as { readonly sliding_window?: number }).sliding_window ?? Infinity;
  const budget = Math.floor((room - sumOf(runningMemory(config, variant, types, { ...workload, cachedTokens: 0 }))) / sequences);
  return cachedTokens > window || budget < LEAST_BUDGET * full || budget >= full ? null : budget;
}

/**
 * The same for training, whose memory is that of its batch.
 * @param backend the active one's name; of another than wasm nothing is known
 * @throws BackendError naming batch size and sequence length when they do not fit
 */
export function expectTrainingFits(config: ModelConfig, load: TrainingLoad, backend: string, { memory }: Pick<MachineLimits, 'memory'>): void {
  expectOptions('expectTrainingFits', load, TRAINING_LOAD);
  if (backend !== 'wasm') return;
  const room = Math.min(WASM_HEAP, memory ?? WASM_HEAP);
  const { fixed, perSequence } = trainingMemory(config, load);
  const { batchSize, sequenceLength } = load;
  if (fixed + batchSize * perSequence <= room) return;
  const usable = `and ${megabytes(room)} are usable on wasm`;
  const most = Math.floor((room - fixed) / perSequence);
  if (fixed >= room) {
    throw new BackendError(`training: weights, gradients and moments take ${megabytes(fixed)}, ${usable}; choose a smaller model or another backend`);
  }
  throw new BackendError(
    `training: a batch of ${batchSize} sequences of ${count(sequenceLength)} tokens takes about ${megabytes(batchSize * perSequence)}, weights, gradients and ` +
      `moments ${megabytes(fixed)}, ${usable}; ${most > 0 ? `lower batchSize to at most ${most} (accumulate adds batches up)` : 'set batchSize to 1'}, or lower sequenceLength`,
  );
}

/** The same for a conversion, which holds a parameter at a time: as it is stored, as float32, and as it is written. */
export function expectConversionFits(name: string, config: ModelConfig, { memory }: Pick<MachineLimits, 'memory'>): void {
  const needed = 3 * modelCost(config, parseAttention(modelShape(config).attention)).largestBytes.f32;
  if (memory === null || needed <= USABLE * memory) return;
  throw new BackendError(`${name}: its largest parameter takes ${megabytes(needed)} to convert, and ${megabytes(USABLE * memory)} of memory are usable; convert it on a larger machine`);
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6).toLocaleString('en')} MB`;
}

function count(number: number): string {
  return number.toLocaleString('en');
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
  if (typeof process === 'undefined' || !process.versions?.node) return gibibytes === undefined ? null : gibibytes * 2 ** 30;
  const { totalmem } = await import('node:os');
  // Of the cgroup, as a container has one; 0 or more than any machine has where there is none.
  const constrained = process.constrainedMemory?.() ?? 0;
  return constrained > 0 ? Math.min(totalmem(), constrained) : totalmem();
}
