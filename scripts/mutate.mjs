// Mutation testing: plants one bug after the other in the sources of a package and asks whether its tests notice. docs/mutation.md says how it
// is done and what came of it.
//   node scripts/mutate.mjs [PACKAGE...] [--sample N] [--seed S] [--at-least PERCENT] [--report FILE] [--again FILE]
// `--again` tries the survivors of an earlier report alone, while you write the tests for them.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { equivalent } from './mutation/equivalent.mjs';
import { mutantsOf } from './mutation/operators.mjs';
import { fail, root } from './workspace.mjs';

/** A folder is mutated whole, but for what is there for tests, and held by the tests in it. */
const folders = {
  'kv-cache': 'packages/kv-cache/src',
  router: 'packages/router/src',
  experts: 'packages/experts/src',
  evaluators: 'packages/evaluators/src',
};

/** Tests by thousands of damaged files look for crashes, and take too long to be run for each mutant. */
const LEFT_OUT = /\.long\.test\.ts$|\/(fuzz|hostile-memory)\.test\.ts$/;

/** Mutants of one process of vitest. */
const BATCH = 40;
/** Without any progress for so long a mutant counts as endless, if it is that again alone. */
const SILENCE_MS = 240_000;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { sample: { type: 'string' }, seed: { type: 'string', default: '1' }, 'at-least': { type: 'string', default: '0' }, report: { type: 'string' }, again: { type: 'string' } },
});
for (const name of positionals) if (!Object.hasOwn(folders, name)) fail(`mutate: expected packages ${Object.keys(folders).join(', ')}, got ${name}`);

const scratch = mkdtempSync(path.join(os.tmpdir(), 'mixsga-mutation-'));
const rows = [];
try {
  for (const name of positionals.length > 0 ? positionals : Object.keys(folders)) rows.push(await mutate(name));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

process.stdout.write('\n| package | mutants | tried | equivalent | killed | survived | share killed |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n');
for (const { name, mutants, tried, equivalent, killed, survivors, share } of rows) {
  process.stdout.write(`| ${name} | ${mutants} | ${tried} | ${equivalent} | ${killed} | ${survivors.length} | ${(100 * share).toFixed(1)} % |\n`);
}
if (options.report) writeFileSync(options.report, `${JSON.stringify(rows, null, 1)}\n`);
process.exitCode = rows.every(({ share }) => 100 * share >= Number(options['at-least'])) ? 0 : 1;

/** Tries the mutants of a package, or a sample of them. */
async function mutate(name) {
  const folder = folders[name];
  const files = filesIn(folder);
  const firstIds = {};
  const mutants = [];
  for (const file of files.filter((each) => !/\.test\.ts$|\/testing\/|\/fixtures\//.test(each))) {
    const source = readFileSync(path.join(root, file), 'utf8');
    firstIds[file] = mutants.length;
    for (const mutant of mutantsOf(source, file)) mutants.push(described(mutant, mutants.length, file, source));
  }
  const testFiles = files.filter((each) => each.endsWith('.test.ts') && !LEFT_OUT.test(each));
  const job = { folder, firstIds };
  const coverage = await cover(job, testFiles);
  const tried = options.again ? survivorsOf(options.again, name, mutants) : sampled(mutants, options.sample === undefined ? mutants.length : Number(options.sample), Number(options.seed));
  const isEquivalent = (mutant) => equivalent.some(({ file, line, change }) => file === mutant.file && line === mutant.line && change === mutant.change);
  const counted = tried.filter((mutant) => !isEquivalent(mutant));
  const outcomes = await tryAll({ ...job, coverage }, counted);
  const survivors = counted.filter(({ id }) => outcomes.get(id) === null);
  for (const { file, row, operator, change, line } of survivors) process.stdout.write(`survived: ${file}:${row}: ${operator}: ${change}\n    ${line}\n`);
  const killed = counted.length - survivors.length;
  return { name, mutants: mutants.length, tried: tried.length, equivalent: tried.length - counted.length, killed, survivors, share: killed / counted.length };
}

function filesIn(folder) {
  return readdirSync(path.join(root, folder), { recursive: true })
    .map((file) => path.posix.join(folder, file.replaceAll(path.sep, '/')))
    .filter((file) => /(?<!\.d)\.ts$/.test(file))
    .sort();
}

/** With what a reader, and the list of equivalent mutants, know it by. */
function described({ start, end, text, operator, statement }, id, file, source) {
  const before = source.slice(0, start);
  const lineEnd = source.indexOf('\n', start);
  const line = source.slice(before.lastIndexOf('\n') + 1, lineEnd < 0 ? undefined : lineEnd).trim();
  const change = statement ? `${source.slice(start, end)} → nothing` : `${source.slice(start, end)} → ${text}`;
  return { id, file, row: before.split('\n').length, line, operator, change: change.replace(/\s+/g, ' ') };
}

/** The mutants that an earlier run could not kill, found by their text. */
function survivorsOf(report, name, mutants) {
  const { survivors = [] } = JSON.parse(readFileSync(report, 'utf8')).find((row) => row.name === name) ?? {};
  return mutants.filter((mutant) => survivors.some(({ file, line, change }) => file === mutant.file && line === mutant.line && change === mutant.change));
}

/** `count` of the items in their order, by a seed (mulberry32). */
function sampled(items, count, seed) {
  let state = seed;
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const drawn = items.map((item, i) => ({ item, i, key: random() })).sort((a, b) => a.key - b.key || a.i - b.i).slice(0, count);
  return drawn.sort((a, b) => a.i - b.i).map(({ item }) => item);
}

/** What each test reaches. The tests have to pass, since otherwise nothing can be said. */
async function cover(job, testFiles) {
  const covers = path.join(scratch, 'coverage.json');
  const { results } = await runVitest({ ...job, covers, mutants: [{ id: -1, files: testFiles }] });
  const { killedBy } = results.find(({ id }) => id === -1) ?? { killedBy: 'no result' };
  if (killedBy !== null) fail(`mutate: expected tests that pass without a mutant, got ${killedBy}`);
  return JSON.parse(readFileSync(covers, 'utf8'));
}

/** By mutant, what killed it, or null. */
async function tryAll(job, mutants) {
  const reaching = ({ id }) => Object.entries(job.coverage)
    .filter(([, { always, tests }]) => always.includes(id) || Object.values(tests).some(({ reached }) => reached.includes(id)))
    .sort(([, a], [, b]) => a.calls - b.calls)
    .map(([file]) => file);
  const outcomes = new Map();
  let left = mutants.map((mutant) => ({ id: mutant.id, files: reaching(mutant) })).filter(({ id, files }) => files.length > 0 || !outcomes.set(id, null));
  const suspects = new Set();
  while (left.length > 0) {
    // One that hung is tried again by itself.
    const batch = suspects.size > 0 ? left.filter(({ id }) => suspects.has(id)).slice(0, 1) : left.slice(0, BATCH);
    const { results, at, ended } = await runVitest({ ...job, mutants: batch });
    for (const { id, killedBy } of results) outcomes.set(id, killedBy);
    if (results.length < batch.length && !outcomes.has(at)) {
      // A mutant that throws while tests are collected ends them all.
      if (ended || suspects.has(at)) outcomes.set(at, ended ? 'no tests' : 'no end, twice');
      else suspects.add(at);
    }
    for (const id of outcomes.keys()) suspects.delete(id);
    left = left.filter(({ id }) => !outcomes.has(id));
    process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${outcomes.size} of ${mutants.length}, ${[...outcomes.values()].filter((by) => by === null).length} survived\n`);
  }
  return outcomes;
}

/** @returns what came of the mutants, the last one that was on, and whether the process ended by itself */
async function runVitest(job) {
  const [file, results] = ['job.json', 'results.jsonl'].map((each) => path.join(scratch, each));
  writeFileSync(file, JSON.stringify({ ...job, results }));
  writeFileSync(results, '');
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  const child = spawn(process.execPath, [vitest, 'run', '--config', path.join(root, 'scripts/mutation/vitest.config.mjs'), '--reporter', 'dot'], {
    cwd: root,
    env: { ...process.env, MIXSGA_MUTATION_JOB: file },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output = (output + data).slice(-20_000)));
  let length = -1;
  // Without mutants there is nothing to report before the end.
  const watch = job.covers ? undefined : setInterval(() => {
    const now = readFileSync(results).length;
    if (now === length) child.kill('SIGKILL');
    length = now;
  }, SILENCE_MS);
  const ended = (await new Promise((resolve) => child.once('close', (code, signal) => resolve(signal)))) === null;
  clearInterval(watch);
  const lines = readFileSync(results, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  if (lines.length === 0) fail(`mutate: expected vitest to run, got\n${output}`);
  return { results: lines.filter(({ id }) => id !== undefined), at: lines.findLast(({ at }) => at !== undefined)?.at ?? null, ended };
}
