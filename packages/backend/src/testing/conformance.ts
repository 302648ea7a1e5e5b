import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { BackendError } from '../errors';
import { startBackend } from '../platform/index';
import type { BackendName } from '../platform/platform';
import { SeededRandom } from '../random';
import type { Values } from './compare';
import { compareValues, read } from './compare';
import { checkAgainstDifferences, gradientsOf, toArray } from './gradients';
import { withGuardedHeap } from './guarded-heap';
import type { KernelCase } from './kernel-case';

const FORWARD_TOLERANCE = 1e-7;
const GRADIENT_TOLERANCE = 1e-6;
const SEED = 20260101;

export interface Verdict {
  /** `unsupported`: the backend lacks something and says so. It is neither right nor wrong. */
  readonly status: 'passed' | 'failed' | 'unsupported';
  /** Largest NMSE of its tensors; NaN when none could be compared. */
  readonly nmse: number;
  /** What went wrong or is missing, one line. */
  readonly message?: string;
}

export interface CaseReport {
  readonly kernel: string;
  readonly name: string;
  readonly backend: BackendName;
  /** A kernel of this package ran, instead of the composition of stock operations. */
  readonly fast: boolean;
  readonly outputs: Verdict;
  /** Null when the case has no differentiable inputs. */
  readonly gradients: Verdict | null;
}

/**
 * Runs a case on a backend and holds it against the case's reference on the `cpu` backend: outputs by NMSE with NaN
 * and ±Infinity in place; inputs unchanged; on wasm, guard bytes around every allocation untouched; gradients
 * against those of the reference, and those against finite differences.
 *
 * Starts the backend and leaves it active. Problems are reported, not thrown; only a backend that can't start throws.
 * @throws BackendError
 */
export async function checkKernelCase(kernelCase: KernelCase, backend: BackendName): Promise<CaseReport> {
  const expected = await expectedOf(kernelCase);
  const deviceErrors: string[] = [];
  await startBackend(backend, { onDeviceError: ({ message }) => deviceErrors.push(message) });
  // It would run small tensors on the processor and test nothing.
  if (backend === 'webgpu') tf.env().set('WEBGPU_CPU_FORWARD', false);
  const { kernel, name } = kernelCase;
  let fast = false;
  const outputs = await judge(async () => {
    fast = await runsOwnKernel(kernelCase);
    return checkOutputs(kernelCase, expected.outputs);
  });
  const gradients = expected.gradients;
  return {
    kernel,
    name,
    backend,
    fast,
    outputs: afterDevice(outputs, deviceErrors),
    gradients: gradients && afterDevice(await judge(() => checkGradients(kernelCase, gradients, expected.differences)), deviceErrors),
  };
}

/** What the device refused makes a verdict worthless, even where stale memory held the right numbers. */
function afterDevice(verdict: Verdict, [message]: readonly string[]): Verdict {
  return message === undefined ? verdict : { status: 'failed', nmse: NaN, message };
}

interface Expected {
  readonly outputs: readonly Values[];
  readonly gradients: readonly Values[] | null;
  /** Why the reference's own gradients disagree with finite differences; null when they agree. */
  readonly differences: string | null;
}

const expectations = new WeakMap<KernelCase, Promise<Expected>>();

/** The reference's results, computed once for all backends. */
function expectedOf(kernelCase: KernelCase): Promise<Expected> {
  let expected = expectations.get(kernelCase);
  if (!expected) expectations.set(kernelCase, (expected = computeExpected(kernelCase)));
  return expected;
}

async function computeExpected(kernelCase: KernelCase): Promise<Expected> {
  await startBackend('cpu');
  const reference = kernelCase.reference ?? kernelCase.run;
  return withInputs(kernelCase, async (inputs) => {
    const outputs = await readAll(tf.tidy(() => toArray(reference(...inputs))));
    if (!kernelCase.differentiable) return { outputs, gradients: null, differences: null };
    const gradients = await readAll(gradientsOf(reference, inputs, kernelCase.differentiable));
    const differences = await checkAgainstDifferences(kernelCase, reference, inputs, gradients);
    return { outputs, gradients, differences };
  });
}

async function checkOutputs(kernelCase: KernelCase, expected: readonly Values[]): Promise<Verdict> {
  let problem: string | null = null;
  let nmse = NaN;
  const damage = await withGuardedHeap(() =>
    withInputs(kernelCase, async (inputs) => {
      const before = await Promise.all(inputs.map(read));
      const actual = await readAll(tf.tidy(() => toArray(kernelCase.run(...inputs))));
      ({ nmse, problem } = compareAll(actual, expected, 'output'));
      const changed = compareAll(await Promise.all(inputs.map(read)), before, 'input');
      if (changed.nmse !== 0) problem ??= `an input was changed: ${changed.problem ?? 'its values'}`;
    }),
  );
  return verdict(nmse, kernelCase.tolerance ?? FORWARD_TOLERANCE, problem ?? damage?.[0] ?? null);
}

async function checkGradients(
  kernelCase: KernelCase,
  expected: readonly Values[],
  differences: string | null,
): Promise<Verdict> {
  let problem = differences;
  let nmse = NaN;
  const damage = await withGuardedHeap(() =>
    withInputs(kernelCase, async (inputs) => {
      const actual = await readAll(gradientsOf(kernelCase.run, inputs, kernelCase.differentiable!));
      const compared = compareAll(actual, expected, 'gradient');
      nmse = compared.nmse;
      problem ??= compared.problem;
    }),
  );
  return verdict(nmse, kernelCase.tolerance ?? GRADIENT_TOLERANCE, problem ?? damage?.[0] ?? null);
}

async function judge(check: () => Promise<Verdict>): Promise<Verdict> {
  try {
    return await check();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const unsupported = BackendError.isInstance(error) || /^Kernel '.*' not registered for backend/.test(message);
    return { status: unsupported ? 'unsupported' : 'failed', nmse: NaN, message };
  }
}

function verdict(nmse: number, tolerance: number, problem: string | null): Verdict {
  if (problem !== null) return { status: 'failed', nmse, message: problem };
  if (nmse <= tolerance) return { status: 'passed', nmse };
  return { status: 'failed', nmse, message: `NMSE ${nmse.toExponential(1)} is above ${tolerance.toExponential(0)}` };
}

function compareAll(actual: readonly Values[], expected: readonly Values[], what: string) {
  if (actual.length !== expected.length) {
    return { nmse: NaN, problem: `${actual.length} ${what}s, expected ${expected.length}` };
  }
  const compared = actual.map((values, i) => compareValues(values, expected[i]!));
  const at = compared.findIndex(({ problem }) => problem !== null);
  return {
    nmse: Math.max(0, ...compared.map(({ nmse }) => nmse)),
    problem: at < 0 ? null : `${what} ${at}: ${compared[at]!.problem}`,
  };
}

async function runsOwnKernel(kernelCase: KernelCase): Promise<boolean> {
  const isOwn = (name: string) => name.startsWith('Mixsga');
  if (!tf.getKernelsForBackend(tf.getBackend()).some(({ kernelName }) => isOwn(kernelName))) return false;
  return withInputs(kernelCase, async (inputs) => {
    const { kernelNames } = await tf.profile(() => tf.tidy(() => void kernelCase.run(...inputs)));
    return kernelNames.some(isOwn);
  });
}

async function withInputs<T>(kernelCase: KernelCase, f: (inputs: Tensor[]) => Promise<T>): Promise<T> {
  const inputs = tf.tidy(() => kernelCase.inputs(new SeededRandom(SEED)));
  try {
    return await f(inputs);
  } finally {
    tf.dispose(inputs);
  }
}

/** Reads tensors back and disposes them. */
async function readAll(tensors: readonly Tensor[]): Promise<Values[]> {
  const values = await Promise.all(tensors.map(read));
  tensors.forEach((tensor) => tensor.dispose());
  return values;
}
