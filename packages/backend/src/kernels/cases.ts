import type { KernelCase } from '../testing/kernel-case';
import { cases as adamw } from './adamw/cases';
import { cases as causalAttention } from './causal-attention/cases';
import { cases as embedding } from './embedding/cases';
import { cases as expertChoice } from './expert-choice/cases';
import { cases as gatedActivation } from './gated-activation/cases';
import { cases as groupMean } from './group-mean/cases';
import { cases as layerNorm } from './layer-norm/cases';
import { cases as linearCrossEntropy } from './linear-cross-entropy/cases';
import { cases as linearDistillation } from './linear-distillation/cases';
import { cases as linear } from './linear/cases';
import { cases as rmsNorm } from './rms-norm/cases';
import { cases as rotate } from './rotate/cases';

/** Every kernel of this package; a new folder adds a line. */
export const kernelCases: readonly KernelCase[] = [
  ...linear,
  ...layerNorm,
  ...rmsNorm,
  ...rotate,
  ...gatedActivation,
  ...embedding,
  ...causalAttention,
  ...linearCrossEntropy,
  ...linearDistillation,
  ...groupMean,
  ...expertChoice,
  ...adamw,
];
