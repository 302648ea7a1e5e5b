export interface ProgressState {
  step: number;
  totalSteps: number;
  /** Nats a token of the last step. */
  loss: number;
  /** Tokens a second since this process started training, evaluation left out. */
  tokensPerSecond: number;
  /** The same in optimizer steps. */
  stepsPerSecond: number;
}

/** Counts training speed; time spent elsewhere (evaluation, checkpoints) is paused out of it. */
export class SpeedMeter {
  private seconds = 0;
  private tokens = 0;
  private steps = 0;

  add(tokens: number, seconds: number): void {
    this.tokens += tokens;
    this.seconds += seconds;
    this.steps += 1;
  }

  get tokensPerSecond(): number {
    return this.seconds > 0 ? this.tokens / this.seconds : 0;
  }

  get stepsPerSecond(): number {
    return this.seconds > 0 ? this.steps / this.seconds : 0;
  }
}

/** Milliseconds that work takes before people want to see how far it is. */
const SLOW = 2000;

/** Shows how far a piece of work is that begins now, once it has taken some seconds: most are over before. */
export function ifSlow(show: (text: string) => void, now: () => number = () => performance.now()): (text: string) => void {
  const begin = now();
  return (text) => {
    if (now() - begin >= SLOW) show(text);
  };
}

export function formatProgress(state: ProgressState): string {
  const secondsLeft = (state.totalSteps - state.step) / state.stepsPerSecond;
  const percent = Math.floor((100 * state.step) / state.totalSteps);
  return (
    `step ${state.step}/${state.totalSteps} (${percent} %)  loss ${state.loss.toFixed(3)}  ` +
    `${Math.round(state.tokensPerSecond)} tokens/s  ${formatDuration(secondsLeft)} left`
  );
}

/** Tells how far the reading of a text is, with its rate and the time left. */
export function readingProgress(what: string, total: number, { activity }: { activity: (text: string) => void }): (bytes: number) => void {
  const start = performance.now();
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  return (bytes) => {
    const rate = bytes / ((performance.now() - start) / 1000);
    activity(`${what}: ${megabytes(bytes)} of ${megabytes(total)} MB  ${megabytes(rate)} MB/s  ${formatDuration((total - bytes) / rate)} left`);
  };
}

/** 75 → '1 min 15 s'. */
export function formatDuration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}
