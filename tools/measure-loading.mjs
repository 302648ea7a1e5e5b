// What loading a checkpoint into the wasm heap takes, in time and memory, beside reading its file and copying it once.
//
//     pnpm build && node tools/measure-loading.mjs [--folder FOLDER] [--dtype F32|F16|BF16] [--rounds 3]
//
// The checkpoint is opt-125m's shape with values that mean nothing, 500 MB in float32. Every measurement is a process of its own,
// the two kinds in turn, with the file in the page cache. One JSON object goes to standard output.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    folder: { type: 'string' },
    dtype: { type: 'string', default: 'F32' },
    rounds: { type: 'string', default: '3' },
  },
});
const library = (name) => import(new URL(`../packages/${name}/dist/index.js`, import.meta.url));

if (positionals[0] === 'load') await load(positionals[1]);
else if (positionals[0] === 'copy') await copy(positionals[1]);
else await measure();

async function measure() {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'mixsga-loading-'));
  try {
    if (!options.folder) await writeCheckpoint(folder, options.dtype);
    const runs = { load: [], copy: [] };
    for (let round = 0; round < Number(options.rounds); round++) {
      for (const kind of ['copy', 'load']) runs[kind].push(child(kind, folder));
    }
    const fileBytes = statSync(join(folder, 'model.safetensors')).size;
    const median = (kind, field) => runs[kind].map((run) => run[field]).toSorted((a, b) => a - b)[Math.floor(runs[kind].length / 2)];
    const result = {
      fileMB: Math.round(fileBytes / 1e6),
      copySeconds: median('copy', 'seconds'),
      loadSeconds: median('load', 'seconds'),
      timesCopy: Number((median('load', 'seconds') / median('copy', 'seconds')).toFixed(2)),
      heapMB: median('load', 'heapMB'),
      peakMB: median('load', 'peakMB'),
      beyondHeapMB: median('load', 'peakMB') - median('load', 'heapMB'),
      timesCheckpoint: Number(((median('load', 'peakMB') - median('load', 'heapMB')) / (fileBytes / 1e6)).toFixed(2)),
      runs,
    };
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  } finally {
    if (!options.folder) rmSync(folder, { recursive: true, force: true });
  }
}

function child(kind, folder) {
  const { stdout, status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), kind, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (status !== 0) throw new Error(`${kind} ends with ${status}`);
  return JSON.parse(stdout);
}

/** Highest resident memory of this process so far, beyond what it had with the libraries loaded. */
function peakMB(startRss) {
  return Math.round((process.resourceUsage().maxRSS * 1024 - startRss) / 1e6);
}

function report(result) {
  process.stdout.write(JSON.stringify(result));
}

async function load(folder) {
  const { startBackend } = await library('backend');
  const { createDecoder, openCheckpoint, parseModelConfig } = await library('models');
  await startBackend('wasm');
  const startRss = process.memoryUsage.rss();
  const start = performance.now();
  const { config, configWhere, tensors } = await openCheckpoint(folder);
  const decoder = await createDecoder(parseModelConfig(config, configWhere), tensors);
  await tensors.close();
  report({ seconds: (performance.now() - start) / 1000, heapMB: Math.round(decoder.weightBytes / 1e6), peakMB: peakMB(startRss) });
}

/** The file into memory, and from there to another place. */
async function copy(folder) {
  const startRss = process.memoryUsage.rss();
  const start = performance.now();
  const file = await open(join(folder, 'model.safetensors'));
  const bytes = new Uint8Array((await file.stat()).size);
  for (let at = 0; at < bytes.length; ) at += (await file.read(bytes, at, bytes.length - at, at)).bytesRead;
  await file.close();
  const second = new Uint8Array(bytes.length);
  second.set(bytes);
  report({ seconds: (performance.now() - start) / 1000, peakMB: peakMB(startRss) });
}

async function writeCheckpoint(folder, dtype) {
  const { knownModels, parseModelConfig, parameterSpecs, parseAttention, saveCheckpoint } = await library('models');
  const config = parseModelConfig(knownModels['facebook/opt-125m'], 'opt-125m');
  const specs = new Map(parameterSpecs(config, parseAttention('mha')).map(({ name, shape }) => [name, shape]));
  const read = async (name) => {
    const values = new Float32Array(specs.get(name).reduce((a, b) => a * b));
    for (let i = 0; i < values.length; i++) values[i] = ((i * 2654435761) % 1000) / 50_000 - 0.01;
    return values;
  };
  const tensors = {
    where: 'made up',
    tensors: new Map([...specs].map(([name, shape]) => [name, { dtype: 'F32', shape, where: 'made up' }])),
    has: (name) => specs.has(name),
    read,
    readRaw: async (name) => new Uint8Array((await read(name)).buffer),
    close: async () => {},
  };
  await saveCheckpoint(folder, { config, tensors }, { dtype });
}
