// What suites expect, without a test runner.

export function expectSame(what: string, got: unknown, expected: unknown): void {
  const [a, b] = [got, expected].map((value) => JSON.stringify(value, sorted));
  if (a !== b) throw new Error(`expected ${what} to be ${b}, got ${a}`);
}

/** For objects whose keys may come in any order. */
function sorted(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function expectThat(what: string, holds: boolean): void {
  if (!holds) throw new Error(`expected ${what}`);
}

export function thrownBy(run: () => unknown): unknown {
  try {
    run();
    return null;
  } catch (error) {
    return error;
  }
}
