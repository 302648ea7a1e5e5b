import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { equivalent } from './mutation/equivalent.mjs';

it('mutants that no test can kill are of lines that are there', () => {
  const linesOf = (file) => readFileSync(fileURLToPath(new URL(`../${file}`, import.meta.url)), 'utf8').split('\n').map((line) => line.trim());
  expect(equivalent.filter(({ file, line }) => !linesOf(file).includes(line.trim()))).toEqual([]);
});
