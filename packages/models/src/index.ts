export { attentionKinds, parseAttention } from './attention/index';
export type { AttentionKind, AttentionShape, AttentionVariant } from './attention/variant';
export { optConfigToJson, parseOptConfig } from './config/opt';
export type { OptConfig } from './config/opt';
export { readJsonFile } from './config/validate';
export { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './io/float16';
export { writeFileAtomic } from './io/fs';
export { decodeSafetensors, encodeSafetensors, fromFloat32, readSafetensors, toFloat32, writeSafetensors } from './io/safetensors';
export type { FloatDtype, SafetensorsDtype, SafetensorsEntry } from './io/safetensors';
