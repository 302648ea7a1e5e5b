// Mutation testing: plants one bug after the other in sources and asks whether their tests notice. docs/mutation.md says how it is done and
// what came of it.
//   node scripts/mutate.mjs [SUBJECT...] [--sample N] [--seed S] [--at-least PERCENT] [--report FILE] [--again FILE]
// `--again` tries the survivors of an earlier report alone, while you write the tests for them.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { equivalent } from './mutation/equivalent.mjs';
import { mutantsOf } from './mutation/operators.mjs';
import { sourcesOf, subjects, testsOf } from './mutation/subjects.mjs';
import { fail, root } from './workspace.mjs';

/** Mutants of one process of vitest. */
const BATCH = 50;
/** A test may take so long with a mutant on, or ten times what the slowest takes without. */
const TIMEOUT_MS = 20_000;
/** What a small sample of one subject may be below the share that all together have at least, percent. */
const LUCK = 15;
/** Stands for the code as it is among the mutants of a batch. */
const UNCHANGED = -1;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { sample: { type: 'string' }, seed: { type: 'string', default: '1' }, 'at-least': { type: 'string', default: '0' }, report: { type: 'string' }, again: { type: 'string' } },
});
for (const name of positionals) if (!Object.hasOwn(subjects, name)) fail(`mutate: expected ${Object.keys(subjects).join(', ')}, got ${name}`);

const scratch = mkdtempSync(path.join(os.tmpdir(), 'mixsga-mutation-'));
let child = null;
process.once('exit', () => {
  stop();
  rmSync(scratch, { recursive: true, force: true, maxRetries: 3 });
});
for (const [signal, number] of Object.entries({ SIGINT: 2, SIGTERM: 15, SIGHUP: 1 })) process.once(signal, () => process.exit(128 + number));

const rows = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(subjects)) {
  rows.push(await mutate(name));
  if (options.report) writeFileSync(options.report, `${JSON.stringify(rows, null, 1)}\n`);
}

process.stdout.write('\n| subject | mutants | tried | equivalent | killed | survived | share killed |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n');
const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
const all = { name: 'all', mutants: sum('mutants'), tried: sum('tried'), equivalent: sum('equivalent'), killed: sum('killed'), survivors: rows.flatMap(({ survivors }) => survivors) };
for (const row of rows.length > 1 ? [...rows, all] : rows) {
  const { name, mutants, tried, equivalent, killed, survivors } = row;
  process.stdout.write(`| ${name} | ${mutants} | ${tried} | ${equivalent} | ${killed} | ${survivors.length} | ${percent(row).toFixed(1)} % |\n`);
}
const least = Number(options['at-least']);
process.exitCode = percent(all) >= least && rows.every((row) => percent(row) >= least - LUCK) ? 0 : 1;

/** Of the mutants that were tried and are not equivalent, those that were killed. */
function percent({ killed, survivors }) {
  return killed + survivors.length === 0 ? 100 : (100 * killed) / (killed + survivors.length);
}

/** Tries the mutants of a subject, or a sample of them. */
async function mutate(name) {
  const firstIds = {};
  const mutants = [];
  for (const file of sourcesOf(name)) {
    const source = readFileSync(path.join(root, file), 'utf8');
    firstIds[file] = mutants.length;
    for (const mutant of mutantsOf(source, file)) mutants.push(described(mutant, mutants.length, file, source));
  }
  const { sources, tests, stateful } = subjects[name];
  const own = [...new Set([...sources, ...tests].map((place) => place.split('/').slice(0, 3).join('/')))];
  const job = { own, firstIds, count: mutants.length };
  for (const mutant of mutants) mutant.isStatic ||= stateful?.test(mutant.file) ?? false;
  const coverage = await cover(job, testsOf(name));
  const tried = options.again ? survivorsOf(options.again, name, mutants) : sampled(mutants, options.sample === undefined ? mutants.length : Number(options.sample), Number(options.seed));
  const isEquivalent = (mutant) => equivalent.some(({ file, line, change }) => file === mutant.file && line === mutant.line && change === mutant.change);
  const counted = tried.filter((mutant) => !isEquivalent(mutant));
  const outcomes = await tryAll({ ...job, coverage, timeoutMs: timeoutOf(coverage) }, counted);
  const survivors = counted.filter(({ id }) => outcomes.get(id) === null);
  for (const { file, row, operator, change, line } of survivors) process.stdout.write(`survived: ${file}:${row}: ${operator}: ${change}\n    ${line}\n`);
  const killed = counted.length - survivors.length;
  return { name, mutants: mutants.length, tried: tried.length, equivalent: tried.length - counted.length, killed, survivors };
}

/** With what a reader, and the list of equivalent mutants, know it by. */
function described({ start, end, text, operator, statement, isStatic }, id, file, source) {
  const before = source.slice(0, start);
  const lineEnd = source.indexOf('\n', start);
  const line = source.slice(before.lastIndexOf('\n') + 1, lineEnd < 0 ? undefined : lineEnd).trim();
  const change = statement ? `${source.slice(start, end)} → nothing` : `${source.slice(start, end)} → ${text}`;
  return { id, file, row: before.split('\n').length, line, operator, change: change.replace(/\s+/g, ' '), isStatic };
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
  const { results } = await runVitest({ ...job, covers, reload: true, timeoutMs: 10 * TIMEOUT_MS, mutants: [{ id: UNCHANGED, files: testFiles }] });
  const { killedBy } = results.find(({ id }) => id === UNCHANGED) ?? { killedBy: 'no result' };
  if (killedBy !== null) fail(`mutate: expected tests that pass without a mutant, got ${killedBy}`);
  return JSON.parse(readFileSync(covers, 'utf8'));
}

function timeoutOf(coverage) {
  const slowest = Object.values(coverage).flatMap((all) => Object.values(all).map(({ ms }) => ms));
  return Math.max(TIMEOUT_MS, 10 * Math.ceil(Math.max(...slowest)));
}

/** By mutant, what killed it, or null. */
async function tryAll(job, mutants) {
  const outcomes = new Map();
  let left = [];
  for (const { id, isStatic } of mutants) {
    const reaching = Object.entries(job.coverage)
      .map(([file, all]) => ({ file, all, ms: costOf(all, id) }))
      .filter(({ ms }) => ms !== null)
      .sort((a, b) => a.ms - b.ms);
    // What runs while a module is loaded needs modules that are loaded anew.
    const reload = isStatic || reaching.some(({ all }) => all.loaded?.reached.includes(id));
    if (reaching.length === 0) outcomes.set(id, null);
    else left.push({ id, reload, files: reaching.map(({ file }) => file) });
  }
  const suspects = new Set();
  while (left.length > 0) {
    // One that hung is tried again by itself.
    const alike = suspects.size > 0 ? left.filter(({ id }) => suspects.has(id)).slice(0, 1) : left.filter(({ reload }) => reload === left[0].reload).slice(0, BATCH);
    const { reload } = alike[0];
    // At the end the code as it is: a mutant may have left something in modules that stay.
    const control = reload ? [] : [{ id: UNCHANGED, files: [...new Set(alike.flatMap(({ files }) => files))] }];
    const { results, at, ended } = await runVitest({ ...job, reload, mutants: [...alike, ...control] });
    if (results.some(({ id, killedBy }) => id === UNCHANGED && killedBy !== null)) {
      for (const mutant of alike) mutant.reload = true;
      continue;
    }
    for (const { id, killedBy } of results) if (id !== UNCHANGED) outcomes.set(id, killedBy);
    if (results.length < alike.length && !outcomes.has(at)) {
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

/** Milliseconds of the tests of a file that reach a mutant, or null where none does. */
function costOf(all, id) {
  const tests = Object.entries(all).filter(([at]) => at.startsWith('test '));
  const isInAll = [all.loaded, all.hooks].some((at) => at?.reached.includes(id));
  const reaching = isInAll ? tests : tests.filter(([, { reached }]) => reached.includes(id));
  return reaching.length === 0 ? null : reaching.reduce((sum, [, { ms }]) => sum + ms, 0);
}

/** @returns what came of the mutants, the last one that was on, and whether the process ended by itself */
async function runVitest(job) {
  const [file, results] = ['job.json', 'results.jsonl'].map((each) => path.join(scratch, each));
  writeFileSync(file, JSON.stringify({ ...job, results }));
  writeFileSync(results, '');
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  child = spawn(process.execPath, [vitest, 'run', '--config', path.join(root, 'scripts/mutation/vitest.config.mjs'), '--reporter', 'dot'], {
    cwd: root,
    // What tests that are killed leave behind goes with the rest.
    env: { ...process.env, MIXSGA_MUTATION_JOB: file, TMPDIR: scratch },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: process.platform !== 'win32',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output = (output + data).slice(-20_000)));
  let length = -1;
  // Without mutants there is nothing to report before the end.
  const watch = job.covers ? undefined : setInterval(() => {
    const now = readFileSync(results).length;
    if (now === length) stop();
    length = now;
  }, 3 * job.timeoutMs);
  const ended = (await new Promise((resolve) => child.once('close', (code, signal) => resolve(signal)))) === null;
  child = null;
  clearInterval(watch);
  const lines = readFileSync(results, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  if (lines.length === 0) fail(`mutate: expected vitest to run, got\n${output}`);
  return { results: lines.filter(({ id }) => id !== undefined), at: lines.findLast(({ at }) => at !== undefined)?.at ?? null, ended };
}

/** Ends vitest and its workers, which may be in a loop that hears no signal. */
function stop() {
  if (!child) return;
  try {
    if (process.platform === 'win32') child.kill('SIGKILL');
    else process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}
