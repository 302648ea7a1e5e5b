import { Command } from 'commander';
import { describe, expect, it } from 'vitest';

import { registerBench } from './bench';

/** What is written to standard error for a wrong command line. */
async function complaint(...args: string[]): Promise<string> {
  let text = '';
  const program = new Command('mixsga').exitOverride().configureOutput({ writeErr: (line) => (text += line) });
  registerBench(program);
  await expect(program.parseAsync(['bench', ...args], { from: 'user' })).rejects.toThrow();
  return text;
}

describe('mixsga bench', () => {
  it.each([
    [['decode', '--contexts', '16,0'], /--contexts <list>.* expected a whole number above 0, got "0"/],
    [['decode', '--contexts', '16,,32'], /expected a whole number above 0, got ""/],
    [['decode', '--weights', 'f32,f16'], /--weights <list>.* expected f32, bf16, int8, got "f16"/],
    [['decode', '--backend', 'cpu'], /--backend <name>.* Allowed choices are wasm, webgpu/],
    [['prefill', '--tokens', '1.5'], /--tokens <n>.* expected a whole number above 0, got "1.5"/],
    [['kernels', '--seconds', 'long'], /--seconds <n>.* expected a number above 0/],
    [['decoder'], /unknown command 'decoder'.*\n\(Did you mean decode\?\)/],
  ])('refuses %j', async (args, message) => {
    expect(await complaint(...args)).toMatch(message);
  });
});
