/** Of the main thread's time, what drawing may take: a long text takes long to lay out, and the page is to answer meanwhile. */
const SHARE = 0.2;

/** Draws what has changed, at most once a frame and in no more than its share of the time. */
export class Redraw {
  readonly #draw: () => void;
  readonly #afterwards = new MessageChannel();
  #isAsked = false;
  #startedAt = 0;
  /** Milliseconds from the last drawing's begin to the end of its frame: rendering, layout and paint. */
  #cost = 0;

  constructor(draw: () => void) {
    this.#draw = draw;
    this.#afterwards.port1.onmessage = () => {
      this.#cost = performance.now() - this.#startedAt;
    };
  }

  ask(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    setTimeout(() => requestAnimationFrame(() => this.#run()), Math.max(0, this.#startedAt + this.#cost / SHARE - performance.now()));
  }

  #run(): void {
    this.#isAsked = false;
    this.#startedAt = performance.now();
    this.#draw();
    // Its task comes after the frame.
    this.#afterwards.port2.postMessage(null);
  }
}
