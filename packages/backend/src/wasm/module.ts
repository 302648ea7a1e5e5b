import type { WasmBackend } from './heap';
import { memoryOf } from './heap';
import { relaxedSimd, simd } from './generated';

type Address = number;

/** Exports of assembly/index.ts; addresses are bytes into the memory of the tfjs wasm backend, sizes are elements. */
export interface WasmKernels {
  linearScratch(rows: number, inputs: number, outputs: number): number;
  linear(x: Address, w: Address, bias: Address, y: Address, rows: number, inputs: number, outputs: number, relu: boolean, scratch: Address): void;
  linearGradient(
    x: Address, w: Address, y: Address, dy: Address, dx: Address, dw: Address, dbias: Address,
    rows: number, inputs: number, outputs: number, relu: boolean, scratch: Address,
  ): void;
  layerNorm(x: Address, gamma: Address, beta: Address, y: Address, statistics: Address, rows: number, size: number, epsilon: number): void;
  layerNormGradient(
    x: Address, gamma: Address, statistics: Address, dy: Address, dx: Address, dgamma: Address, dbeta: Address,
    rows: number, size: number,
  ): void;
  attentionScratch(length: number, headSize: number): number;
  causalAttention(
    q: Address, k: Address, v: Address, out: Address, logSumExp: Address,
    batch: number, length: number, heads: number, kvHeads: number, headSize: number, scale: number, scratch: Address,
    received: Address, window: number, cap: number, rows: number, firstHead: number, endHead: number,
  ): void;
  causalAttentionGradient(
    q: Address, k: Address, v: Address, logSumExp: Address, dout: Address, dq: Address, dk: Address, dv: Address,
    batch: number, length: number, heads: number, kvHeads: number, headSize: number, scale: number, scratch: Address,
    window: number, cap: number,
  ): void;
  crossEntropyScratch(size: number, vocabulary: number, gradient: boolean): number;
  linearCrossEntropy(
    x: Address, w: Address, targets: Address, nll: Address, dx: Address, dw: Address,
    rows: number, size: number, vocabulary: number, counted: number, scratch: Address, cap: number,
  ): void;
  distillationScratch(size: number, teacherSize: number, vocabulary: number): number;
  linearDistillation(
    x: Address, w: Address, teacherX: Address, teacherW: Address, targets: Address, nll: Address, kl: Address, dx: Address, dw: Address,
    rows: number, size: number, teacherSize: number, vocabulary: number, counted: number, scratch: Address,
    cap: number, teacherCap: number, share: number,
  ): void;
  argMax(row: Address, size: number): number;
  likelihood(logits: Address, targets: Address, nll: Address, greedy: Address, rows: number, vocabulary: number): void;
  gatherRows(table: Address, ids: Address, to: Address, count: number, size: number): void;
  scatterAddRows(rows: Address, ids: Address, to: Address, count: number, size: number, tableRows: number): void;
  groupMean(
    x: Address, assignment: Address, groupSizes: Address, y: Address, tokens: number, heads: number, headSize: number, root: boolean,
  ): void;
  expertChoice(scores: Address, mask: Address, capacities: Address, assignment: Address, tokens: number, experts: number, histogram: Address): void;
  adamw(
    parameter: Address, gradient: Address, first: Address, second: Address, count: number,
    learningRate: number, beta1: number, beta2: number, epsilon: number, decay: number,
    correction1: number, correction2: number, gradientScale: number,
  ): void;
  sumOfSquares(x: Address, count: number): number;
  packF32(w: Address, inputs: number, outputs: number, first: number, count: number, to: Address): void;
  packBf16(w: Address, inputs: number, outputs: number, first: number, count: number, to: Address, panel: Address): void;
  int8Bytes(inputs: number, outputs: number): number;
  packInt8(w: Address, inputs: number, first: number, count: number, to: Address, scales: Address): void;
  gemvF32(x: Address, packed: Address, bias: Address, residual: Address, y: Address, inputs: number, outputs: number, activation: number): void;
  gemvBf16(x: Address, packed: Address, bias: Address, residual: Address, y: Address, inputs: number, outputs: number, activation: number): void;
  gemvInt8Scratch(inputs: number): number;
  gemvInt8(
    x: Address, packed: Address, scales: Address, bias: Address, residual: Address, y: Address,
    inputs: number, outputs: number, activation: number, scratch: Address,
  ): void;
  manyScratch(): number;
  gemmMany(
    x: Address, packed: Address, scales: Address, type: number, bias: Address, residual: Address, y: Address,
    rows: number, inputs: number, outputs: number, activation: number, scratch: Address,
  ): void;
  unpackRow(
    packed: Address, scales: Address, type: number, inputs: number, outputs: number, output: number, to: Address, add: boolean,
  ): void;
  pageBytes(heads: number, headSize: number): number;
  clearPage(page: Address, bytes: number): void;
  writeToken(page: Address, chunk: number, token: number, k: Address, v: Address, heads: number, headSize: number, step: number): void;
  coarsenToken(
    from: Address, fromChunk: number, fromToken: number, to: Address, toChunk: number, toToken: number,
    heads: number, headSize: number, groupSize: number, factor: number,
  ): void;
  int8PageBytes(heads: number, headSize: number): number;
  writeInt8Token(page: Address, chunk: number, token: number, k: Address, v: Address, heads: number, headSize: number, step: number): void;
  readInt8Token(page: Address, chunk: number, token: number, k: Address, v: Address, heads: number, headSize: number): void;
  coarsenInt8Token(
    from: Address, fromChunk: number, fromToken: number, to: Address, toChunk: number, toToken: number,
    heads: number, headSize: number, groupSize: number, factor: number,
  ): void;
  roundToInt8(x: Address, heads: number, headSize: number): void;
  readToken(page: Address, chunk: number, token: number, k: Address, v: Address, heads: number, headSize: number): void;
  attendWork(heads: number, headSize: number): number;
  attend(
    q: Address, scale: number, cap: number, segments: Address, count: number, heads: number, headSize: number,
    work: Address, weights: Address, maxima: Address, out: Address,
  ): void;
  attendProbabilities(
    state: Address, heads: number, headSize: number, weights: Address, maxima: Address, tokens: number, probabilities: Address,
  ): void;
  latentPageBytes(rank: number, int8: boolean): number;
  writeLatent(page: Address, token: number, x: Address, rank: number, int8: boolean): void;
  readLatent(page: Address, token: number, to: Address, pageRank: number, rank: number, int8: boolean): void;
  latentWork(heads: number, rank: number): number;
  attendLatents(
    q: Address, segments: Address, count: number, heads: number, rank: number, work: Address, weights: Address, maxima: Address, out: Address,
  ): void;
  multiply(x: Address, by: Address, count: number): void;
  scale(x: Address, factor: number, count: number): void;
  softCap(x: Address, count: number, factor: number, cap: number): void;
  rmsNorm(x: Address, gain: Address, residual: Address, y: Address, rows: number, size: number, epsilon: number): void;
  rmsNormGradient(x: Address, gain: Address, dy: Address, dx: Address, dgain: Address, rows: number, size: number, epsilon: number): void;
  gatedActivation(gate: Address, up: Address, y: Address, count: number, activation: number): void;
  gatedActivationGradient(
    gate: Address, up: Address, dy: Address, dgate: Address, dup: Address, count: number, activation: number,
  ): void;
  routerLogits(x: Address, w: Address, bias: Address, logits: Address, inputs: number, experts: number): void;
  rotate(x: Address, angles: Address, rows: number, heads: number, headSize: number): void;
  readStream(from: Address, bytes: number): number;
}

export interface LoadedKernels {
  readonly kernels: WasmKernels;
  /** Which of the two builds runs: fused multiply-add where the engine has relaxed SIMD. */
  readonly simd: 'simd' | 'relaxed-simd';
}

/** Instantiates the side module on the memory of `backend`. @throws when neither build is accepted by the engine. */
export async function loadWasmKernels(backend: WasmBackend): Promise<LoadedKernels> {
  const memory = memoryOf(backend);
  if (!memory) throw new Error('the wasm backend does not expose its memory');
  const relaxed = decode(relaxedSimd);
  const useRelaxed = allowRelaxedSimd() && WebAssembly.validate(relaxed);
  const { instance } = await WebAssembly.instantiate(useRelaxed ? relaxed : decode(simd), { env: { memory } });
  return { kernels: instance.exports as unknown as WasmKernels, simd: useRelaxed ? 'relaxed-simd' : 'simd' };
}

// Node 20 has relaxed SIMD behind a V8 flag that may be set while running; later engines and browsers have it on.
function allowRelaxedSimd(): boolean {
  if (typeof process === 'undefined' || !process.versions?.node) return true;
  if (process.env['MIXSGA_RELAXED_SIMD'] === '0') return false;
  if (Number(process.versions.node.split('.')[0]) < 22) {
    process.getBuiltinModule('node:v8').setFlagsFromString('--experimental-wasm-relaxed-simd');
  }
  return true;
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
