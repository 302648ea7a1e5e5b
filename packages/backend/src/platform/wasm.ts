import * as tf from '@tensorflow/tfjs-core';
import { registerWasmKernels } from '../wasm/register';
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
    if (!(await tf.setBackend('wasm'))) throw new Error('its .wasm file did not load or was refused');
    mendWasmKernels();
    return `WebAssembly, ${await loadFastKernels()}`;
  },
};

async function locateBinaries({ wasmPaths }: StartOptions): Promise<void> {
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
  const main = wasmPaths === undefined && isNode ? resolvePackage(PACKAGE) : null;
  const folder = main === null ? wasmPaths : main.slice(0, -process.getBuiltinModule('node:path').basename(main).length);
  if (folder !== undefined) setWasmPaths(folder);
}

// Without them every operation still works, by its reference composition; the detail says what was lost.
async function loadFastKernels(): Promise<string> {
  try {
    return await registerWasmKernels();
  } catch (error) {
    return `without the fast kernels (${firstLine(error)})`;
  }
}
