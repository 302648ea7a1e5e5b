// Decode speed of llama.cpp at the shape of `mixsga bench decode`, its peer: one thread, float32 weights and KV cache, flash
// attention off. It is no dependency of this project; install it in a folder of its own:
//
//     mkdir llama && npm install --prefix llama node-llama-cpp
//     node tools/bench-llama.mjs --modules llama > llama.json
//
// The models are GGUF files that this script writes, with random weights: StarCoder's architecture, which is OPT's with GELU
// instead of ReLU, and takes any number of KV heads. Progress goes to standard error, one JSON object to standard output.

import { mkdtempSync, openSync, closeSync, writeSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const SHAPE = { layers: 12, hiddenSize: 768, heads: 12, ffnSize: 3072, vocabularySize: 32000 };
const ROUNDS = 5;
/** Tokens of one evaluation when a context is filled. */
const BATCH = 512;

const { values: options } = parseArgs({
  options: {
    modules: { type: 'string', default: '.' },
    contexts: { type: 'string', default: '16,1024,4096,8192' },
    'kv-heads': { type: 'string', default: '12,6' },
    seconds: { type: 'string', default: '5' },
  },
});
const contexts = counts(options.contexts).toSorted((a, b) => a - b);
const secondsPerRound = Number(options.seconds) / ROUNDS;
if (!(secondsPerRound > 0)) fail(`expected --seconds above 0, got ${options.seconds}`);
const positions = Math.ceil((contexts.at(-1) + 1) / 256) * 256;

const { getLlama } = await import(
  pathToFileURL(resolve(options.modules, 'node_modules/node-llama-cpp/dist/index.js')).href
).catch(() => fail(`no node-llama-cpp in ${options.modules}: npm install --prefix ${options.modules} node-llama-cpp`));

const folder = mkdtempSync(join(tmpdir(), 'bench-llama-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

const llama = await getLlama({ gpu: false, build: 'never', maxThreads: 1, logLevel: 'error' });
const engines = [];
for (const kvHeads of counts(options['kv-heads'])) engines.push(await load(kvHeads));

const results = [];
for (const context of contexts) {
  for (const engine of engines) {
    say(`${name(engine)}: filling the cache to ${context} tokens`);
    await fill(engine, context);
    await step(engine, context);
  }
  const rounds = engines.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    const order = [...engines.keys()];
    if (round % 2 === 1) order.reverse();
    for (const i of order) {
      say(`context ${context}, round ${round + 1} of ${ROUNDS}: ${name(engines[i])}`);
      let steps = 0;
      let seconds = 0;
      while (steps === 0 || seconds < secondsPerRound) {
        seconds += await step(engines[i], context);
        steps += 1;
      }
      rounds[i].push(steps / seconds);
    }
  }
  engines.forEach(({ kvHeads, weightBytes }, i) => {
    const speeds = rounds[i].toSorted((a, b) => a - b);
    const kvBytes = context * 2 * SHAPE.layers * kvHeads * (SHAPE.hiddenSize / SHAPE.heads) * 4;
    results.push({
      engine: 'llama.cpp', kvHeads, context,
      tokensPerSecond: speeds[ROUNDS >> 1], msPerToken: 1000 / speeds[ROUNDS >> 1],
      spread: { min: speeds[0], max: speeds.at(-1) },
      kvBytesUsed: kvBytes, bytesPerToken: weightBytes + kvBytes,
    });
  });
}
process.stdout.write(`${JSON.stringify({
  schema: 'mixsga/bench-llama@1',
  shape: { ...SHAPE, positions },
  engine: `llama.cpp ${llama.llamaCppRelease.release}, StarCoder architecture, f32 weights, f32 KV, flash attention off`,
  threads: 1,
  results,
  prefill: engines.map(({ kvHeads, filled }) => ({ kvHeads, tokens: filled.tokens, tokensPerSecond: filled.tokens / filled.seconds })),
  machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version },
}, null, 2)}\n`);
process.exit(0);

/** A model with random weights in a context of its own. `filled`: the first batch of tokens that it took, and how long. */
async function load(kvHeads) {
  say(`writing random weights for ${kvHeads} KV heads`);
  const path = join(folder, `kv-${kvHeads}.gguf`);
  const weightBytes = writeModel(path, kvHeads);
  const model = await llama.loadModel({ modelPath: path });
  const context = await model.createContext({
    contextSize: positions, sequences: 1, threads: 1, batchSize: BATCH, flashAttention: false,
    experimentalKvCacheKeyType: 'F32', experimentalKvCacheValueType: 'F32',
  });
  return { kvHeads, weightBytes, context, sequence: context.getSequence(), filled: { tokens: 0, seconds: 0 } };
}

/** Evaluates random tokens until the cache holds `context` of them. */
async function fill(engine, context) {
  const { sequence } = engine;
  while (sequence.nextTokenIndex < context) {
    const tokens = Array.from({ length: Math.min(BATCH, context - sequence.nextTokenIndex) }, randomToken);
    const start = performance.now();
    await sequence.evaluateWithoutGeneratingNewTokens(tokens);
    if (tokens.length === BATCH && engine.filled.tokens === 0) {
      engine.filled = { tokens: BATCH, seconds: (performance.now() - start) / 1000 };
    }
  }
}

/** Seconds of one greedy step; its token is taken out of the cache again. */
async function step({ sequence }, context) {
  const input = [randomToken(), { generateNext: { token: true, options: { temperature: 0 } } }];
  const start = performance.now();
  await sequence.controlledEvaluate([input]);
  const seconds = (performance.now() - start) / 1000;
  await sequence.eraseContextTokenRanges([{ start: context, end: context + 1 }]);
  if (sequence.nextTokenIndex !== context) fail(`the cache holds ${sequence.nextTokenIndex} tokens after a step, expected ${context}`);
  return seconds;
}

function randomToken() {
  return 3 + Math.floor(random() * (SHAPE.vocabularySize - 3)); // not the control tokens
}

/** @returns bytes of weights that a step reads: all but the position table */
function writeModel(path, kvHeads) {
  const { layers, hiddenSize: d, heads, ffnSize, vocabularySize } = SHAPE;
  const kvWidth = (d / heads) * kvHeads;
  const tensors = []; // [name, dimensions with the fastest first, what it holds]
  const linear = (at, inputs, outputs) => tensors.push([`${at}.weight`, [inputs, outputs], 'random'], [`${at}.bias`, [outputs], 'zeros']);
  const norm = (at) => tensors.push([`${at}.weight`, [d], 'ones'], [`${at}.bias`, [d], 'zeros']);
  tensors.push(['token_embd.weight', [d, vocabularySize], 'random'], ['position_embd.weight', [d, positions], 'random']);
  for (let layer = 0; layer < layers; layer++) {
    const at = `blk.${layer}`;
    norm(`${at}.attn_norm`);
    linear(`${at}.attn_qkv`, d, d + 2 * kvWidth);
    linear(`${at}.attn_output`, d, d);
    norm(`${at}.ffn_norm`);
    linear(`${at}.ffn_up`, d, ffnSize);
    linear(`${at}.ffn_down`, ffnSize, d);
  }
  norm('output_norm');

  // Llama's vocabulary: three control tokens, the 256 bytes, which its loader looks for, and words.
  const ids = Array.from({ length: vocabularySize }, (_, id) => id);
  const token = (id) => (id >= 3 && id < 259 ? `<0x${(id - 3).toString(16).toUpperCase().padStart(2, '0')}>` : `<${id}>`);
  const kind = (id) => (id < 3 ? 3 : id < 259 ? 6 : 1);
  const metadata = [
    ['general.architecture', string('starcoder')],
    ['general.name', string('random')],
    ['starcoder.context_length', u32(positions)],
    ['starcoder.embedding_length', u32(d)],
    ['starcoder.block_count', u32(layers)],
    ['starcoder.feed_forward_length', u32(ffnSize)],
    ['starcoder.attention.head_count', u32(heads)],
    ['starcoder.attention.head_count_kv', u32(kvHeads)],
    ['starcoder.attention.layer_norm_epsilon', f32(1e-5)],
    ['general.file_type', u32(0)],
    ['tokenizer.ggml.model', string('llama')],
    ['tokenizer.ggml.tokens', array(8, ids.map((id) => text(token(id))))],
    ['tokenizer.ggml.scores', array(6, ids.map((id) => number(4, 'writeFloatLE', -id)))],
    ['tokenizer.ggml.token_type', array(5, ids.map((id) => number(4, 'writeInt32LE', kind(id))))],
    ['tokenizer.ggml.unknown_token_id', u32(0)],
    ['tokenizer.ggml.bos_token_id', u32(1)],
    ['tokenizer.ggml.eos_token_id', u32(2)],
  ];
  const header = [Buffer.from('GGUF'), number(4, 'writeUInt32LE', 3), u64(tensors.length), u64(metadata.length)];
  for (const [key, value] of metadata) header.push(text(key), value);
  let offset = 0;
  for (const [key, dimensions] of tensors) {
    header.push(text(key), number(4, 'writeUInt32LE', dimensions.length), ...dimensions.map(u64), number(4, 'writeUInt32LE', 0), u64(offset));
    offset += padded(4 * size(dimensions));
  }
  const file = openSync(path, 'w');
  const head = Buffer.concat(header);
  writeSync(file, head);
  writeSync(file, Buffer.alloc(padded(head.length) - head.length));
  for (const [, dimensions, content] of tensors) {
    const values = new Float32Array(padded(4 * size(dimensions)) / 4);
    if (content === 'ones') values.fill(1);
    if (content === 'random') for (let i = 0; i < values.length; i++) values[i] = (random() - 0.5) * 0.07; // deviation 0.02
    writeSync(file, Buffer.from(values.buffer));
  }
  closeSync(file);
  return tensors.reduce((sum, [key, dimensions]) => sum + (key === 'position_embd.weight' ? 0 : 4 * size(dimensions)), 0);
}

// Values of GGUF metadata, each with its type; lengths are 64-bit.

function string(value) {
  return Buffer.concat([number(4, 'writeUInt32LE', 8), text(value)]);
}

function u32(value) {
  return Buffer.concat([number(4, 'writeUInt32LE', 4), number(4, 'writeUInt32LE', value)]);
}

function f32(value) {
  return Buffer.concat([number(4, 'writeUInt32LE', 6), number(4, 'writeFloatLE', value)]);
}

function array(type, items) {
  return Buffer.concat([number(4, 'writeUInt32LE', 9), number(4, 'writeUInt32LE', type), u64(items.length), ...items]);
}

function text(value) {
  return Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
}

function u64(value) {
  return number(8, 'writeBigUInt64LE', BigInt(value));
}

function number(bytes, write, value) {
  const buffer = Buffer.alloc(bytes);
  buffer[write](value);
  return buffer;
}

function size(dimensions) {
  return dimensions.reduce((a, b) => a * b, 1);
}

/** To GGUF's alignment of 32 bytes. */
function padded(bytes) {
  return Math.ceil(bytes / 32) * 32;
}

/** Uniform in [0, 1): xorshift32. */
function random() {
  let x = (random.state ??= 1);
  x ^= x << 13;
  x ^= x >>> 17;
  random.state = x ^= x << 5;
  return (x >>> 0) / 2 ** 32;
}

function counts(list) {
  const numbers = list.split(',').map(Number);
  if (numbers.some((n) => !Number.isInteger(n) || n < 1)) fail(`expected whole numbers above 0, separated by commas, got ${list}`);
  return numbers;
}

function name({ kvHeads }) {
  return `llama.cpp, ${kvHeads} KV heads`;
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

function fail(message) {
  process.stderr.write(`bench-llama: ${message}\n`);
  process.exit(1);
}
