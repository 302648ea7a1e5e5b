import * as tf from '@tensorflow/tfjs-core';
import { checkAllocations, type WasmBackend } from '../wasm/heap';
import { registerWasmKernels } from '../wasm/register';
import { mendMatMul } from './mat-mul';
import { firstLine, isNode, resolvePackage } from './node';
import type { Platform, StartOptions } from './platform';
import { unavailable } from './platform';
import { mendWasmKernels } from './wasm-mended';

const PACKAGE = '@tensorflow/tfjs-backend-wasm';

/** WebAssembly: the default, the same in Node and browsers. */
export const wasm: Platform = {
  name: 'wasm',
  tfjsName: 'wasm',
  probe() {
    if (typeof WebAssembly === 'undefined') return Promise.resolve(unavailable('this engine has no WebAssembly'));
    if (isNode && !resolvePackage(PACKAGE)) {
      return Promise.resolve(unavailable(`the package ${PACKAGE} is not installed`, `npm install ${PACKAGE}@4.22.0`));
    }
    return Promise.resolve({ available: true, software: false, detail: 'WebAssembly' });
  },
  async start(options) {
    if (tf.engine().registry['wasm'] === undefined) await locateBinaries(options);
    // In a cross-origin isolated page tfjs would take its threaded build, whose shared memory the kernels of this package can't import.
    tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
    const started = await withoutProcessListeners(() => tf.setBackend('wasm'));
    if (!started) throw new Error('its .wasm file did not load or was refused');
    checkAllocations(tf.backend() as WasmBackend);
    mendWasmKernels();
    mendMatMul('wasm');
    return `WebAssembly, ${await loadFastKernels()}`;
  },
};

async function locateBinaries({ wasmPaths }: StartOptions): Promise<void> {
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
  const main = wasmPaths === undefined && isNode ? resolvePackage(PACKAGE) : null;
  const folder = main === null ? wasmPaths : main.slice(0, -process.getBuiltinModule('node:path').basename(main).length);
  if (folder !== undefined) setWasmPaths(folder);
}

const fatalEvents = ['uncaughtException', 'unhandledRejection'];

/**
 * The emscripten module of tfjs listens to every error that nobody caught, prints a page of its own source and ends the
 * process with code 7. Without its listeners Node says what happened, with code 1.
 */
async function withoutProcessListeners<T>(start: () => Promise<T>): Promise<T> {
  if (!isNode) return start();
  const before = new Set(fatalEvents.flatMap((event) => process.rawListeners(event)));
  const result = await start();
  for (const event of fatalEvents) {
    for (const listener of process.rawListeners(event)) {
      const fromEmscripten = !before.has(listener) && /throw (ex|reason)\b/.test(listener.toString());
      if (fromEmscripten) process.removeListener(event, listener as () => void);
    }
  }
  return result;
}

// Without them every operation still works, by its reference composition; the detail says what was lost.
async function loadFastKernels(): Promise<string> {
  try {
    return await registerWasmKernels();
  } catch (error) {
    return `without the fast kernels (${firstLine(error)})`;
  }
}
