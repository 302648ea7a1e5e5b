// Switches mutants on and off around the tests, leaves out tests that do not reach them, and writes what came of each.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { TestRunner } from 'vitest';
import { root } from '../workspace.mjs';

const job = JSON.parse(readFileSync(process.env.MIXSGA_MUTATION_JOB, 'utf8'));

/** A mutant that makes this many times more steps than the code does without, or takes this many times longer, is endless. */
const ENDLESS = 20;
const LEAST_MS = 20_000;
/** Steps between two looks at the clock. */
const LOOK = 2 ** 18;

let active = -1;
let calls = 0;
let limit = Infinity;
let deadline = Infinity;
/** In the run without mutants: 1 for those that were reached. */
const reached = new Uint8Array(job.count);

globalThis.__m = job.covers
  ? (id) => {
      calls++;
      reached[id] = 1;
      return false;
    }
  : (id) => {
      if (++calls > limit || (calls % LOOK === 0 && performance.now() > deadline)) {
        calls = 0;
        throw new Error('endless');
      }
      return id === active;
    };

/** By test file: what its loading, its hooks and each of its tests reach, in how many steps and milliseconds. */
const coverage = {};
const outcomes = new Map();

/** @param at 'loaded', 'hooks' or the name of a test */
function note(file, at, ms = 0) {
  if (!job.covers) return;
  const all = (coverage[file] ??= {});
  const before = (all[at] ??= { reached: [], calls: 0, ms: 0 });
  const now = [...reached.keys()].filter((id) => reached[id] === 1);
  all[at] = { reached: [...new Set([...before.reached, ...now])], calls: Math.max(calls, before.calls), ms: before.ms + ms };
  begin();
}

/** @param most what the same takes without a mutant */
function begin(most = { calls: Infinity, ms: Infinity }) {
  calls = 0;
  if (job.covers) reached.fill(0);
  limit = ENDLESS * most.calls + 1e6;
  deadline = performance.now() + ENDLESS * most.ms + LEAST_MS;
}

export default class MutationRunner extends TestRunner {
  #file = null;
  #phase = 'loaded';
  #since = 0;

  constructor(config) {
    super(config);
    globalThis.mixsgaMutation = {
      loading: (id) => {
        if (this.#file) note(this.#file, this.#phase);
        this.#forgetModules();
        active = id;
        appendFileSync(job.results, `${JSON.stringify({ at: id })}\n`);
      },
      loadingFile: (id, file) => {
        if (this.#file) note(this.#file, this.#phase);
        this.#file = file;
        // What a file loads is known only if it loads all of it.
        if (job.covers) this.#forgetModules();
        active = id;
        begin(limitOf(file, 'loaded'));
      },
      failed: (id, by) => {
        if (!outcomes.has(id)) outcomes.set(id, by);
      },
      thrown: (error) => {
        if (!outcomes.has(active)) outcomes.set(active, `${this.#file} throws while it is loaded: ${error?.message}`);
      },
      isKilled: (id) => outcomes.has(id),
    };
  }

  /** Tests are loaded anew, and modules where a mutant may be in what they do while they are loaded. */
  #forgetModules() {
    for (const [file, modules] of this.workerState.evaluatedModules.fileToModulesMap) {
      const isOwn = job.own.some((folder) => path.relative(root, file).startsWith(`${folder}/`));
      if (!isOwn || !(job.reload || file.endsWith('.test.ts'))) continue;
      for (const module of modules) Object.assign(module, { promise: undefined, exports: undefined, evaluated: false });
    }
  }

  async onBeforeRunSuite(suite) {
    await super.onBeforeRunSuite(suite);
    const { id, file } = placeOf(suite);
    if (id === null) return;
    if (this.#file) note(this.#file, this.#phase);
    this.#phase = 'hooks';
    this.#file = file;
    if (active !== id) appendFileSync(job.results, `${JSON.stringify({ at: id })}\n`);
    active = id;
    begin(limitOf(file, 'hooks'));
    if (file && (outcomes.has(id) || !testsIn(suite).some((test) => this.#wanted(test)))) suite.mode = 'skip';
  }

  async onAfterRunSuite(suite) {
    await super.onAfterRunSuite(suite);
    const { id, file } = placeOf(suite);
    if (file) note(file, 'hooks');
    const error = suite.result?.errors?.[0];
    if (id !== null && error && !outcomes.has(id)) outcomes.set(id, `${suite.name}: ${error.message}`);
    if (id === null && suite.file === suite && job.covers) writeFileSync(job.covers, JSON.stringify(coverage));
    if (id === null || file !== null) return;
    this.#file = null;
    active = -1;
    appendFileSync(job.results, `${JSON.stringify({ id, killedBy: outcomes.get(id) ?? null })}\n`);
  }

  async onBeforeRunTask(test) {
    const { id, file, name } = placeOf(test);
    if (file) note(file, 'hooks');
    if (outcomes.has(id) || !this.#wanted(test)) test.mode = 'skip';
    else appendFileSync(job.results, '\n'); // a sign of life
    await super.onBeforeRunTask(test);
    begin(limitOf(file, name));
    this.#since = performance.now();
  }

  async onAfterRunTask(test) {
    await super.onAfterRunTask(test);
    const { id, file, name } = placeOf(test);
    if (file) note(file, name, performance.now() - this.#since);
    begin(limitOf(file, 'hooks'));
    if (test.result?.state === 'fail' && !outcomes.has(id)) outcomes.set(id, `${file}: ${name}: ${test.result.errors?.[0]?.message}`);
  }

  #wanted(test) {
    const { id, file, name } = placeOf(test);
    if (job.covers || id === null || id < 0 || !file) return true;
    return [job.coverage[file].loaded, job.coverage[file].hooks, job.coverage[file][name]].some((at) => at?.reached.includes(id));
  }
}

function limitOf(file, at) {
  if (job.covers || !file) return undefined;
  const all = job.coverage[file];
  return all[at] ?? Object.values(all).reduce((a, b) => (a.calls > b.calls ? a : b));
}

/** Which mutant a suite or test is of, in which test file, and its name in there. */
function placeOf(task) {
  const names = [];
  for (let each = task; each && each !== task.file; each = each.suite) names.unshift(each.name);
  const id = /^mutant (-?\d+)$/.exec(names[0] ?? '');
  return { id: id && Number(id[1]), file: names[1] ?? null, name: `test ${names.slice(2).join(' > ')}` };
}

function testsIn(suite) {
  return suite.tasks.flatMap((task) => (task.type === 'suite' ? testsIn(task) : [task]));
}
