import * as tf from '@tensorflow/tfjs-core';
import { mendMatMul } from './mat-mul';
import type { Platform } from './platform';

/** Plain JavaScript: slow, everywhere, and the reference that others are compared with. */
export const cpu: Platform = {
  name: 'cpu',
  tfjsName: 'cpu',
  probe: () => Promise.resolve({ available: true, software: false, detail: 'plain JavaScript' }),
  async start() {
    await import('@tensorflow/tfjs-backend-cpu');
    if (!(await tf.setBackend('cpu'))) throw new Error('TensorFlow.js did not accept it');
    // Its first use would print an advertisement of tfjs-node.
    (tf.backend() as unknown as { firstUse: boolean }).firstUse = false;
    mendMatMul('cpu');
    return null;
  },
};
