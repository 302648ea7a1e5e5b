import type { KernelCase } from './kernel-case';

/** At most `count` cases of each kernel, spread evenly over its list: for devices too slow for all of them. */
export function sample(cases: readonly KernelCase[], count: number): KernelCase[] {
  const kernels = new Set(cases.map(({ kernel }) => kernel));
  return [...kernels].flatMap((kernel) => {
    const own = cases.filter((kernelCase) => kernelCase.kernel === kernel);
    const stride = Math.max(1, (own.length - 1) / (count - 1));
    return own.filter((_, i) => i === Math.round(Math.round(i / stride) * stride)).slice(0, count);
  });
}
