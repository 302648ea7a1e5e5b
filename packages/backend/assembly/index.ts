// The WebAssembly side module: every export works on addresses in the memory of the TensorFlow.js wasm backend.
export { adamw, sumOfSquares } from './optimizer';
export { attentionScratch, causalAttention, causalAttentionGradient } from './attention';
export { crossEntropyScratch, linearCrossEntropy } from './cross-entropy';
export { distillationScratch, linearDistillation } from './distillation';
export { expertChoice, groupMean } from './experts';
export { gatherRows, scatterAddRows } from './embedding';
export { gatedActivation, gatedActivationGradient } from './gated';
export { multiply, rmsNorm, rotate, scale, softCap } from './elementwise';
export { layerNorm, layerNormGradient } from './layer-norm';
export { argMax, likelihood } from './likelihood';
export { linear, linearGradient, linearScratch } from './linear';
export { attend, attendWork } from './decode-attention';
export { attendProbabilities } from './online-softmax';
export { clearPage, coarsenToken, pageBytes, readToken, writeToken } from './pages';
export { coarsenInt8Token, int8PageBytes, readInt8Token, roundToInt8, writeInt8Token } from './int8-pages';
export { attendLatents, latentPageBytes, latentWork, readLatent, writeLatent } from './latents';
export { readStream } from './bandwidth';
export { rmsNormGradient } from './rms-norm';
export { routerLogits } from './router';
export {
  gemmMany, gemvBf16, gemvF32, gemvInt8, gemvInt8Scratch, int8Bytes, manyScratch, packBf16, packF32, packInt8, unpackRow,
} from './packed-linear';
