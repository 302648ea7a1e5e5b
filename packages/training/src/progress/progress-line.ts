/** Seconds between two lines when standard error is not a terminal. */
const PLAIN_INTERVAL = 15;

/**
 * One line on standard error that is rewritten in place on a terminal, and otherwise a line every quarter
 * of a minute.
 */
export class ProgressLine {
  private lastPlain = -Infinity;
  private width = 0;

  constructor(private readonly stream: NodeJS.WriteStream = process.stderr) {}

  show(text: string, now = performance.now() / 1000): void {
    if (this.stream.isTTY) {
      this.stream.write(`\r${text.padEnd(this.width)}`);
      this.width = text.length;
    } else if (now - this.lastPlain >= PLAIN_INTERVAL) {
      this.lastPlain = now;
      this.stream.write(`${text}\n`);
    }
  }

  /** A line of its own, which stays. */
  log(text: string): void {
    this.clear();
    this.stream.write(`${text}\n`);
  }

  /** Wipes the line that is being rewritten. */
  clear(): void {
    if (this.stream.isTTY && this.width > 0) this.stream.write(`\r${' '.repeat(this.width)}\r`);
    this.width = 0;
  }
}
