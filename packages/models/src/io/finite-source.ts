import { ArgumentError, FileError } from '@mixsga/backend';
import type { ParameterSource } from './parameter-source';

const finite = new WeakSet<ParameterSource>();

/**
 * The same source, which gives no NaN and no infinity: each would become an answer made of NaN. One that is checked already
 * stays as it is.
 * @param whereOf the file of a parameter, for errors; default: the values come from the caller
 * @throws FileError or, of values from the caller, ArgumentError from `read`, naming the parameter and the first bad value
 */
export function finiteSource(source: ParameterSource, whereOf?: (name: string) => string): ParameterSource {
  if (finite.has(source)) return source;
  const checked: ParameterSource = {
    has: (name) => source.has(name),
    async read(name) {
      const values = await source.read(name);
      if (!allFinite(values)) {
        const index = values.findIndex((value) => !Number.isFinite(value));
        const problem = `${name}: expected finite weights, got ${values[index]} at index ${index} of ${values.length}`;
        throw whereOf ? new FileError(whereOf(name), `${problem}; the model is damaged, fetch or save it again`) : new ArgumentError(problem);
      }
      return values;
    },
  };
  finite.add(checked);
  return checked;
}

/** Whether there is no NaN and no infinity. */
export function allFinite(values: Float32Array): boolean {
  // 0 · x is 0 but for these, of which it is NaN. Four sums, since one would wait for each addition.
  let [a, b, c, d] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 4 <= values.length; i += 4) {
    a += 0 * values[i]!;
    b += 0 * values[i + 1]!;
    c += 0 * values[i + 2]!;
    d += 0 * values[i + 3]!;
  }
  for (; i < values.length; i++) a += 0 * values[i]!;
  return a + b + c + d === 0;
}
