import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

const MAX_BYTES = 2 ** 22;
/** Places in the state: a count that changes with each file, the file's number, its size. */
const [BEAT, NUMBER, SIZE] = [0, 1, 2];

/** In a thread of its own, since what it looks for blocks this one. It has no imports of the project, and so needs no build. */
const SOURCE = `
const { workerData } = require('node:worker_threads');
const { writeFileSync, writeSync } = require('node:fs');
const { state, bytes, name, folder, cpuSeconds, wallSeconds } = workerData;
let beat = -1, since = 0, cpu = 0;
const cpuNow = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6; };
setInterval(() => {
  const now = Atomics.load(state, 0);
  if (now !== beat) { beat = now; since = performance.now(); cpu = cpuNow(); return; }
  if (now % 2 === 0) return; // between two files
  if (cpuNow() - cpu < cpuSeconds && performance.now() - since < wallSeconds * 1000) return;
  const path = folder + '/' + name.replace(/\\W+/g, '-') + '-' + Atomics.load(state, 1);
  writeFileSync(path, Buffer.from(bytes.slice(0, Atomics.load(state, 2))));
  writeSync(2, 'fuzz: ' + name + ': file ' + Atomics.load(state, 1) + ' does not end; it is saved as ' + path + '\\n');
  process.kill(process.pid, 'SIGKILL');
}, 250);
`;

/** Ends the process when the reading of a file does not end, and saves the file. */
export class Watchdog {
  readonly #state = new Int32Array(new SharedArrayBuffer(12));
  readonly #bytes = new Uint8Array(new SharedArrayBuffer(MAX_BYTES));
  readonly #worker: Worker;

  /** @param name of the reader, for the message and the name of the file */
  constructor(name: string) {
    const folder = join(tmpdir(), 'mixsga-fuzz');
    mkdirSync(folder, { recursive: true });
    const limits = { cpuSeconds: 5, wallSeconds: 60 }; // processor time, so that a busy machine is no hang
    this.#worker = new Worker(SOURCE, { eval: true, workerData: { state: this.#state, bytes: this.#bytes, name, folder, ...limits } });
    this.#worker.unref();
  }

  /** Watches while a file is read. */
  async watch(number: number, bytes: Uint8Array, read: () => Promise<unknown>): Promise<void> {
    this.#bytes.set(bytes.subarray(0, MAX_BYTES));
    Atomics.store(this.#state, NUMBER, number);
    Atomics.store(this.#state, SIZE, Math.min(bytes.length, MAX_BYTES));
    Atomics.add(this.#state, BEAT, 1);
    try {
      await read();
    } finally {
      Atomics.add(this.#state, BEAT, 1);
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
