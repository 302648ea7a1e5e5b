// Vitest as test files see it here: what is thrown in the body of a `describe` fails the suite, not the run of all mutants.
import { describe as original, it } from 'vitest';

export * from 'vitest';

function guarded(body) {
  const failed = (error) => {
    globalThis.mixsgaMutation.thrown(error);
    it('is collected', () => {
      throw error;
    });
  };
  return (...args) => {
    try {
      const result = body(...args);
      return result instanceof Promise ? result.catch(failed) : result;
    } catch (error) {
      return failed(error);
    }
  };
}

/** Also what it has and gives, such as `describe.each`. */
function guarding(of) {
  return new Proxy(of, {
    apply(target, self, args) {
      const result = Reflect.apply(target, self, args.map((arg) => (typeof arg === 'function' ? guarded(arg) : arg)));
      return typeof result === 'function' ? guarding(result) : result;
    },
    get(target, key) {
      const value = target[key];
      return typeof value === 'function' ? guarding(value) : value;
    },
  });
}

export const describe = guarding(original);
