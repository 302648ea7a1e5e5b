import { formatDuration, type ProgressState } from '../progress/progress';
import { ProgressLine } from '../progress/progress-line';
import type { ChildMessage } from '../progress/reporter';
import type { RunResult } from '../run/run';

/** One progress line for all the runs of an experiment. */
export class ExperimentProgress {
  private readonly line = new ProgressLine();
  private readonly training = new Map<string, ProgressState>();
  private readonly evaluating = new Map<string, string>();

  constructor(
    private readonly total: number,
    private done: number,
  ) {
    if (done > 0) this.line.log(`${done} of ${total} runs are finished already`);
  }

  update(name: string, message: ChildMessage): void {
    if ('message' in message) return;
    if ('warning' in message) return this.line.log(`${name}: warning: ${message.warning}`);
    if ('activity' in message) {
      this.training.delete(name);
      this.evaluating.set(name, message.activity);
    } else {
      this.training.set(name, message.progress);
    }
    this.show();
  }

  finished(name: string, { perplexity }: RunResult): void {
    this.training.delete(name);
    this.evaluating.delete(name);
    this.done += 1;
    this.line.log(
      `${name}: perplexity ${perplexity.decode.toFixed(2)} under decode routing, ` +
        `${perplexity.prefill.toFixed(2)} under prefill (${this.done}/${this.total})`,
    );
  }

  clear(): void {
    this.line.clear();
  }

  private show(): void {
    const active = [...this.training.values()];
    const runs = [...this.training].map(([run, { step, totalSteps }]) => `${run} ${Math.floor((100 * step) / totalSteps)} %`);
    const tasks = [...this.evaluating].map(([run, activity]) => `${run} ${activity}`);
    const speed = active.reduce((sum, { tokensPerSecond }) => sum + tokensPerSecond, 0);
    const pace = active.length > 0 ? `  ${Math.round(speed)} tokens/s  ${formatDuration(this.secondsLeft(active))} left` : '';
    this.line.show(`${this.done}/${this.total} done  ${[...runs, ...tasks].join('  ')}${pace}`);
  }

  /** Of training at the speed of the runs that go on now, as if every other run had as many steps. */
  private secondsLeft(active: readonly ProgressState[]): number {
    const waiting = this.total - this.done - active.length - this.evaluating.size;
    const steps = active.reduce((sum, { step, totalSteps }) => sum + totalSteps - step, waiting * active[0]!.totalSteps);
    const speed = active.reduce((sum, run) => sum + run.stepsPerSecond, 0);
    return speed > 0 ? steps / speed : 0;
  }
}
