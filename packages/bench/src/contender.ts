/** Something that takes its turn in a benchmark. */
export interface Contender {
  /** Who it is, in progress lines: `wasm mha`. */
  readonly label: string;
  /** Works for at least this many seconds and at least one step, and reports how far it came. */
  run(seconds: number): Promise<Slice>;
  dispose(): void;
}

/** What a contender did when it had its turn. */
export interface Slice {
  steps: number;
  seconds: number;
}

/**
 * Repeats a step, at least once, until all together took this many seconds.
 * @param restore puts back after each step what it changed; its time does not count
 */
export async function timeSteps(seconds: number, step: () => Promise<unknown>, restore?: () => void): Promise<Slice> {
  const slice: Slice = { steps: 0, seconds: 0 };
  while (slice.steps === 0 || slice.seconds < seconds) {
    const start = performance.now();
    await step();
    slice.seconds += (performance.now() - start) / 1000;
    slice.steps += 1;
    restore?.();
  }
  return slice;
}
