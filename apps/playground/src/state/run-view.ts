// What is known of a run, from its events.
import {
  EVICTED, type CacheFacts, type Failure, type Kept, type ModelFacts, type RoutingFacts, type RunEvent, type RunResult, type RunStarted, type Speed,
  type Token, type Variant,
} from '../protocol';
import type { Settings } from './settings';

export type RunStatus = 'waiting' | 'backend' | 'weights' | 'prompt' | 'generating' | 'inspecting' | 'done' | 'stopped' | 'failed';

/** In {@link RunView.expert}: not known yet. */
export const UNKNOWN = 254;

/** What a run began with. */
export interface RunOrigin {
  readonly settings: Settings;
  readonly model: ModelFacts;
}

export class RunView {
  status: RunStatus = 'waiting';
  started: RunStarted | null = null;
  /** Prompt and text. */
  tokens: Token[] = [];
  cache: CacheFacts | null = null;
  speed: Speed = { prefill: null, decode: null };
  routing: RoutingFacts | null = null;
  finish: RunResult['finish'] | null = null;
  failure: Failure | null = null;
  /** How much of its phase is done, from 0 to 1, or was when the run was stopped; null where that is not told. */
  progress: number | null = null;
  /** What happened on the way, for people. */
  readonly notes: string[] = [];
  /** Tokens whose expert is known, from the first on. */
  known = 0;
  /** Changes with every token that was told to be evicted, or stored by another expert than before. */
  changes = 0;
  /** [layers of the cache, tokensAtMost]: the expert that has a token, or had it when it was evicted. */
  #experts = new Uint8Array(0);
  #evicted = new Uint8Array(0);

  /** @param from the settings and the model that it runs with, whatever becomes of those of the page */
  constructor(readonly variant: Variant, readonly from: RunOrigin) {}

  get promptLength(): number {
    return this.started?.prompt.length ?? 0;
  }

  /** Of the model. */
  get layers(): number {
    return this.started?.cacheLayers.length ?? 0;
  }

  /** See {@link RunStarted.kept}. */
  get kept(): readonly Kept[] {
    return this.started?.kept ?? [];
  }

  /** How many experts routers choose from. */
  get experts(): number {
    return this.started?.ratios.length ?? 1;
  }

  get isOver(): boolean {
    return ['done', 'stopped', 'failed'].includes(this.status);
  }

  /** Ids after the prompt. */
  get generated(): number[] {
    return this.tokens.slice(this.promptLength).map(({ id }) => id);
  }

  get text(): string {
    return this.tokens.slice(this.promptLength).map(({ text }) => text).join('');
  }

  /** What is kept of a token in a layer, in words. */
  keptText(layer: number, token: number): string {
    const expert = this.expert(layer, token);
    if (this.isEvicted(layer, token)) return 'nothing, evicted';
    return this.kept[expert]?.text ?? 'not known';
  }

  /** The expert of a token, {@link EVICTED} when nothing of it is known but that, or {@link UNKNOWN}. */
  expert(layer: number, token: number): number {
    return token < this.known ? this.#experts[this.#place(layer, token)]! : UNKNOWN;
  }

  isEvicted(layer: number, token: number): boolean {
    return token < this.known && this.#evicted[this.#place(layer, token)] === 1;
  }

  /** Of the router of a layer for a token, one for each expert; null where they are not known. */
  scores(layer: number, token: number): Float32Array | null {
    const own = this.routing?.scores[this.started!.cacheLayers[layer]!]?.subarray(token * this.experts, (token + 1) * this.experts);
    return own && own.length > 0 ? own : null;
  }

  /**
   * The share that the cache has of a token's keys and values, see {@link Kept}: 1 for all, 0 when it was evicted; null when not known yet.
   * @param layer null: the mean over layers
   */
  share(layer: number | null, token: number): number | null {
    if (token >= this.known) return null;
    if (layer !== null) return this.isEvicted(layer, token) ? 0 : this.kept[this.expert(layer, token)]!.share;
    let sum = 0;
    for (let each = 0; each < this.layers; each++) sum += this.share(each, token)!;
    return sum / this.layers;
  }

  apply(event: RunEvent): void {
    switch (event.type) {
      case 'phase':
        this.status = event.phase;
        this.progress = null;
        break;
      case 'warning':
        this.notes.push(event.message);
        break;
      case 'progress':
        this.progress = event.done;
        break;
      case 'started':
        this.started = event;
        this.tokens = [...event.prompt, ...event.generated];
        this.known = 0;
        this.#experts = new Uint8Array(this.#stored * event.tokensAtMost).fill(UNKNOWN);
        this.#evicted = new Uint8Array(this.#stored * event.tokensAtMost);
        break;
      case 'step':
        this.status = 'generating';
        this.progress = null;
        this.tokens.push(event.token);
        this.cache = event.cache;
        this.speed = event.speed;
        this.#takeExperts(event.first, event.experts);
        break;
      case 'recovered':
        this.notes.push(`The device was lost after ${event.after} tokens; the text goes on, on ${event.backend}.`);
        break;
    }
  }

  end({ finish, routing }: RunResult): void {
    if (finish !== 'cancelled') this.progress = null;
    this.status = finish === 'cancelled' ? 'stopped' : 'done';
    this.finish = finish;
    this.routing = routing;
  }

  fail(failure: Failure): void {
    this.status = failure.kind === 'cancelled' ? 'stopped' : 'failed';
    if (failure.kind === 'cancelled') return;
    this.failure = failure;
    this.progress = null;
  }

  get #width(): number {
    return this.started!.tokensAtMost;
  }

  /** Layers of the cache. */
  get #stored(): number {
    return new Set(this.started!.cacheLayers).size;
  }

  #place(layer: number, token: number): number {
    return this.started!.cacheLayers[layer]! * this.#width + token;
  }

  #takeExperts(first: number, experts: Uint8Array): void {
    const layers = this.#stored;
    const count = experts.length / layers;
    for (let layer = 0; layer < layers; layer++) {
      for (let i = 0; i < count; i++) {
        const at = layer * this.#width + first + i;
        const expert = experts[layer * count + i]!;
        const isGone = expert === EVICTED;
        const isElsewhere = !isGone && this.#experts[at] !== UNKNOWN && this.#experts[at] !== expert;
        if (isElsewhere || (isGone && this.#evicted[at] === 0)) this.changes++;
        this.#evicted[at] = isGone ? 1 : 0;
        if (!isGone || this.#experts[at] === UNKNOWN) this.#experts[at] = expert;
      }
    }
    this.known = Math.max(this.known, first + count);
  }
}
