// The WebAssembly side module: every export works on addresses in the memory of the TensorFlow.js wasm backend.
export { adamw, sumOfSquares } from './optimizer';
export { attentionScratch, causalAttention, causalAttentionGradient } from './attention';
export { crossEntropyScratch, linearCrossEntropy } from './cross-entropy';
export { expertChoice, groupMean } from './experts';
export { gatherRows, scatterAddRows } from './embedding';
export { layerNorm, layerNormGradient } from './layer-norm';
export { linear, linearGradient, linearScratch } from './linear';
