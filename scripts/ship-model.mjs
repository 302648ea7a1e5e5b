// Makes of a finished training run a model to ship: weights as f16, and the recipe with its loss curve.
//   node scripts/ship-model.mjs RUN_FOLDER FOLDER COMMAND      (expects a build)
// FOLDER is packages/models/zoo/NAME, or of an app; COMMAND is what made the run, for the recipe.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { encodeSafetensors, fromFloat32, readSafetensors, toFloat32 } from '../packages/models/dist/index.js';

const [run, folder, command] = process.argv.slice(2);
if (!run || !folder || !command) {
  process.stderr.write('usage: node scripts/ship-model.mjs RUN_FOLDER FOLDER COMMAND\n');
  process.exit(2);
}
const readJson = (file) => JSON.parse(readFileSync(path.join(run, file), 'utf8'));

mkdirSync(folder, { recursive: true });
for (const file of ['config.json', 'tokenizer.json']) copyFileSync(path.join(run, file), path.join(folder, file));
const half = new Map();
for (const [parameter, entry] of await readSafetensors(path.join(run, 'model.safetensors'))) {
  half.set(parameter, fromFloat32(toFloat32(entry), entry.shape, 'F16'));
}
writeFileSync(path.join(folder, 'model.safetensors'), encodeSafetensors(half, { format: 'pt' }));

// One validation and the mean training loss since the one before make a point of the curve.
const curve = [];
let losses = [];
for (const line of readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').trim().split('\n')) {
  const { kind, step, tokens, lm, decode } = JSON.parse(line);
  if (kind === 'train') losses.push(lm);
  if (kind !== 'validation') continue;
  const trainingLoss = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  curve.push({ step, tokens, trainingLoss: round(trainingLoss), validationPerplexity: round(decode) });
  losses = [];
}
const recipe = { command, weights: 'f16', config: readJson('run.json'), result: readJson('result.json'), curve };
writeFileSync(path.join(folder, 'recipe.json'), `${JSON.stringify(recipe, null, 2)}\n`);

function round(value) {
  return Math.round(value * 1e4) / 1e4;
}
