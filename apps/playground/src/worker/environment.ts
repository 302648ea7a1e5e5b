// To be imported before anything that uses it.
import { env } from '@tensorflow/tfjs-core';
import { config } from 'zod';

// The page's content security policy forbids the code that zod would make at run time.
config({ jitless: true });

// On a page that is cross-origin isolated TensorFlow.js would take its build with threads, whose shared memory the kernels of
// @mixsga/backend cannot use; those are what decoding runs on, and they are faster alone.
env().setFlags({ WASM_HAS_MULTITHREAD_SUPPORT: false });
