import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { root } from '../workspace.mjs';

const { mutants } = JSON.parse(readFileSync(process.env.MIXSGA_MUTATION_JOB, 'utf8'));
const control = globalThis.mixsgaMutation;

// The first counterexample is enough.
fc.configureGlobal({ endOnFailure: true });

// Each mutant has tests of its own, loaded while it is on.
for (const { id, files } of mutants) {
  describe(`mutant ${id}`, async () => {
    control.loading(id);
    for (const file of files) {
      await new Promise((resolve) => {
        describe(file, async () => {
          it.skip('loads'); // a suite needs a test; hooks do not run for it
          if (control.isKilled(id)) return;
          try {
            control.loadingFile(id, file);
            await import(/* @vite-ignore */ path.join(root, file));
          } catch (error) {
            control.failed(id, `${file} does not load: ${error?.message}`);
          }
        });
        resolve();
      });
    }
  });
}
