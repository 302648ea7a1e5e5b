/** How far a download is. */
export interface DownloadProgress {
  /** The file at hand. */
  readonly file: string;
  /** Bytes of it that are here. */
  readonly fileBytes: number;
  readonly fileSize: number;
  /** Bytes of all files that are here. */
  readonly bytes: number;
  readonly total: number;
  /** Bytes a second over the last seconds; 0 before anything has come. */
  readonly rate: number;
  /** Null while the rate is 0. */
  readonly secondsLeft: number | null;
}

const REPORT_MS = 100;
/** The rate is that of the last seconds. */
const WINDOW_MS = 5000;

/** Turns counts of bytes into reports, ten a second and one at the end of each file. */
export class ProgressMeter {
  readonly #report: ((progress: DownloadProgress) => void) | undefined;
  readonly #total: number;
  readonly #samples: { at: number; fetched: number }[] = [];
  #done = 0;
  #fetched = 0;
  #file = { path: '', size: 0, bytes: 0 };
  #reportedAt = -Infinity;

  constructor(report: ((progress: DownloadProgress) => void) | undefined, total: number) {
    this.#report = report;
    this.#total = total;
  }

  /** A file begins, of which `bytes` are here from before. */
  start(path: string, size: number, bytes: number): void {
    this.#file = { path, size, bytes };
    this.#emit(false);
  }

  add(bytes: number): void {
    this.#file.bytes += bytes;
    this.#fetched += bytes;
    this.#emit(false);
  }

  /** The file is here, whether it was fetched or was here before. */
  finish(): void {
    this.#file.bytes = this.#file.size;
    this.#emit(true);
    this.#done += this.#file.size;
    this.#file.bytes = 0;
  }

  /** A file that is here. */
  pass(path: string, size: number): void {
    this.start(path, size, size);
    this.finish();
  }

  #emit(always: boolean): void {
    const now = performance.now();
    if (!always && now - this.#reportedAt < REPORT_MS) return;
    this.#reportedAt = now;
    this.#samples.push({ at: now, fetched: this.#fetched });
    while (this.#samples[0]!.at < now - WINDOW_MS) this.#samples.shift();
    const { at, fetched } = this.#samples[0]!;
    const rate = now > at ? (1000 * (this.#fetched - fetched)) / (now - at) : 0;
    const bytes = this.#done + this.#file.bytes;
    this.#report?.({
      ...{ file: this.#file.path, fileBytes: this.#file.bytes, fileSize: this.#file.size, bytes, total: this.#total, rate },
      secondsLeft: rate > 0 ? (this.#total - bytes) / rate : null,
    });
  }
}
