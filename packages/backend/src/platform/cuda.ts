import * as tf from '@tensorflow/tfjs-core';
import { firstLine, isNode, requireFile, resolvePackage } from './node';
import type { Platform, Probe } from './platform';
import { unavailable } from './platform';

const packages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];
const INSTALL = `npm install ${packages[0]}@4.22.0 (NVIDIA card with CUDA 11; without one ${packages[1]}@4.22.0)`;

/** libtensorflow through the optional packages tfjs-node-gpu or tfjs-node, both named `tensorflow` at the registry. */
export const cuda: Platform = {
  name: 'cuda',
  tfjsName: 'tensorflow',
  async probe() {
    if (!isNode) return unavailable('it runs in Node only');
    const installed = packages.find((name) => resolvePackage(name));
    if (installed === undefined) return unavailable(`neither ${packages.join(' nor ')} is installed`, INSTALL);
    // Loading the package makes its backend the active one.
    const before = tf.engine().backendName;
    try {
      return load(installed);
    } finally {
      if (before && tf.engine().backendName !== before) await tf.setBackend(before);
    }
  },
  async start() {
    if (!(await tf.setBackend('tensorflow'))) throw new Error('TensorFlow.js did not accept it');
    return null;
  },
};

function load(name: string): Probe {
  try {
    requireFile(resolvePackage(name)!);
    const backend = tf.findBackend('tensorflow') as { isUsingGpuDevice?: boolean } | null;
    if (!backend) return unavailable(`${name} registered no backend`, 'use the same version of all TensorFlow.js packages');
    const gpu = backend.isUsingGpuDevice === true;
    return { available: true, software: !gpu, detail: `${name}, ${gpu ? 'CUDA device' : 'on the processor, no CUDA device'}` };
  } catch (error) {
    const major = Number(process.versions.node.split('.')[0]);
    const hint = major >= 23 ? 'use Node 22 or earlier, which its addon needs' : `npm rebuild ${name} --build-addon-from-source`;
    return unavailable(`${name} did not load: ${firstLine(error)}`, hint);
  }
}
