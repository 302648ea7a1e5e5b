// Switches mutants on and off around the tests, leaves out tests that do not reach them, and writes what came of each.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { TestRunner } from 'vitest';

const job = JSON.parse(readFileSync(process.env.MIXSGA_MUTATION_JOB, 'utf8'));

/** A mutant that makes this many times more steps than the code does without is endless. */
const ENDLESS = 50;

let active = -1;
let calls = 0;
let limit = Infinity;
/** In the run without mutants: those that were reached. */
let reached = new Set();

globalThis.__m = job.covers
  ? (id) => {
      calls++;
      reached.add(id);
      return false;
    }
  : (id) => {
      if (++calls > limit) {
        calls = 0;
        throw new Error('endless');
      }
      return id === active;
    };

/** By test file: what its loading and hooks reach, and each of its tests. */
const coverage = {};
const outcomes = new Map();

function note(file, test) {
  if (!job.covers) return;
  const of = (coverage[file] ??= { always: [], calls: 0, tests: {} });
  of.calls = Math.max(of.calls, calls);
  if (test === null) of.always = [...new Set([...of.always, ...reached])];
  else of.tests[test] = { reached: [...new Set([...(of.tests[test]?.reached ?? []), ...reached])], calls: Math.max(calls, of.tests[test]?.calls ?? 0) };
  begin(Infinity);
}

function begin(most) {
  calls = 0;
  reached = new Set();
  limit = most;
}

export default class MutationRunner extends TestRunner {
  #file = null;

  constructor(config) {
    super(config);
    globalThis.mixsgaMutation = {
      loading: (id) => {
        if (this.#file) note(this.#file, null);
        this.#forgetModules();
        active = id;
        appendFileSync(job.results, `${JSON.stringify({ at: id })}\n`);
      },
      loadingFile: (id, file) => {
        if (this.#file) note(this.#file, null);
        this.#file = file;
        // What a file loads is known only if it loads all of it.
        if (job.covers) this.#forgetModules();
        active = id;
        begin(limitOf(file, null));
      },
      failed: (id, by) => {
        if (!outcomes.has(id)) outcomes.set(id, by);
      },
    };
  }

  /** The modules of the folder are loaded anew. */
  #forgetModules() {
    for (const [file, modules] of this.workerState.evaluatedModules.fileToModulesMap) {
      if (!file.includes(`/${job.folder}/`)) continue;
      for (const module of modules) Object.assign(module, { promise: undefined, exports: undefined, evaluated: false });
    }
  }

  async onBeforeRunSuite(suite) {
    await super.onBeforeRunSuite(suite);
    const { id, file } = placeOf(suite);
    if (id === null) return;
    if (this.#file) note(this.#file, null);
    this.#file = file;
    if (active !== id) appendFileSync(job.results, `${JSON.stringify({ at: id })}\n`);
    active = id;
    begin(limitOf(file, null));
    if (file && (outcomes.has(id) || !testsIn(suite).some((test) => this.#wanted(test)))) suite.mode = 'skip';
  }

  async onAfterRunSuite(suite) {
    await super.onAfterRunSuite(suite);
    const { id, file } = placeOf(suite);
    if (file) note(file, null);
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
    if (file) note(file, null);
    if (outcomes.has(id) || !this.#wanted(test)) test.mode = 'skip';
    await super.onBeforeRunTask(test);
    begin(limitOf(file, name));
  }

  async onAfterRunTask(test) {
    await super.onAfterRunTask(test);
    const { id, file, name } = placeOf(test);
    if (file) note(file, name);
    begin(limitOf(file, null));
    if (test.result?.state === 'fail' && !outcomes.has(id)) outcomes.set(id, `${file}: ${name}: ${test.result.errors?.[0]?.message}`);
  }

  #wanted(test) {
    const { id, file, name } = placeOf(test);
    if (job.covers || id === null || !file) return true;
    const of = job.coverage[file];
    return of.always.includes(id) || (of.tests[name]?.reached.includes(id) ?? false);
  }
}

function limitOf(file, test) {
  if (job.covers || !file) return Infinity;
  const of = job.coverage[file];
  return ENDLESS * (test === null ? of.calls : (of.tests[test]?.calls ?? of.calls)) + 1e6;
}

/** Which mutant a suite or test is of, in which test file, and its name in there. */
function placeOf(task) {
  const names = [];
  for (let each = task; each && each !== task.file; each = each.suite) names.unshift(each.name);
  const id = /^mutant (-?\d+)$/.exec(names[0] ?? '');
  return { id: id && Number(id[1]), file: names[1] ?? null, name: names.slice(2).join(' > ') };
}

function testsIn(suite) {
  return suite.tasks.flatMap((task) => (task.type === 'suite' ? testsIn(task) : [task]));
}
