import type { Command } from 'commander';

import { registerAllocate } from './allocate';
import { registerBackends } from './backends';
import { registerBench } from './bench';
import { registerConvert } from './convert';
import { registerDemo } from './demo';
import { registerEval } from './eval';
import { registerGenerate } from './generate';
import { registerInspect } from './inspect';
import { registerPresets } from './presets';
import { registerReport } from './report';
import { registerSweep } from './sweep';
import { registerTrain } from './train';

/** Every subcommand: a file of its own, and a line here. */
export const commands: readonly ((program: Command) => void)[] = [
  registerDemo,
  registerTrain,
  registerSweep,
  registerPresets,
  registerEval,
  registerReport,
  registerGenerate,
  registerConvert,
  registerAllocate,
  registerBench,
  registerInspect,
  registerBackends,
];
