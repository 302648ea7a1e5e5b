// What the page knows and does. Components read the signals and call the methods; none of them talks to the worker.
import { batch, computed, effect, signal } from '@preact/signals';
import { CallError, Client, type Call } from './client';
import type { BackendChoice, Catalog, Failure, LoadProgress, ModelFacts, ModelSource, Plan, RunResult } from './protocol';
import { Redraw } from './redraw';
import { RunView } from './state/run-view';
import { fromFragment, OWN_FILES, SHIPPED, toFragment, type Settings } from './state/settings';

export type ModelState =
  /** It is for the user to ask for: what is not shipped comes from elsewhere. */
  | { readonly status: 'unasked' }
  | { readonly status: 'loading'; readonly progress: LoadProgress | null }
  /** With `failed`: another one was asked for and could not be had. */
  | { readonly status: 'ready'; readonly facts: ModelFacts; readonly failed?: FailedModel }
  | { readonly status: 'failed'; readonly failed: FailedModel };

/** A model that could not be opened. */
export interface FailedModel {
  /** As in settings. */
  readonly model: string;
  readonly failure: Failure;
}

const PLAN_DELAY_MS = 120;
/** Browsers refuse more than some 100 changes of the address in 30 seconds, which a slider makes in one. */
const ADDRESS_DELAY_MS = 300;

export class Session {
  readonly settings = signal<Settings>(fromFragment(location.hash));
  readonly catalog = signal<Catalog | null>(null);
  readonly model = signal<ModelState>({ status: 'unasked' });
  readonly plan = signal<Plan | null>(null);
  readonly runs = signal<readonly RunView[]>([]);
  /** Changes after a run has, at the page's pace; runs themselves change in place. */
  readonly revision = signal(0);
  readonly isRunning = signal(false);
  /** The worker's own failure, after which nothing goes on. */
  readonly crash = signal<string | null>(null);
  readonly canRun = computed(() => this.model.value.status === 'ready' && this.settings.value.prompt !== '');

  readonly #client = new Client((message) => {
    this.crash.value = message;
  });
  readonly #redraw = new Redraw(() => this.revision.value++);
  #opening: Call<'open'> | null = null;
  /** The model that the worker has. */
  #opened: { readonly model: string; readonly facts: ModelFacts } | null = null;
  #running: Call<'run'> | null = null;
  /** Number of the last start or stop: a run whose number is another one has been stopped. */
  #turn = 0;
  #planTimer: ReturnType<typeof setTimeout> | undefined;
  #addressTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    void this.#client.call('catalog', null).result.then(
      (catalog) => (this.catalog.value = catalog),
      () => undefined, // the crash is reported
    );
    effect(() => {
      const fragment = toFragment(this.settings.value);
      clearTimeout(this.#addressTimer);
      this.#addressTimer = setTimeout(() => history.replaceState(null, '', fragment ? `#${fragment}` : location.pathname + location.search), ADDRESS_DELAY_MS);
    });
    effect(() => {
      const { prompt, maxNewTokens, variants } = this.settings.value;
      if (this.model.value.status !== 'ready') return;
      clearTimeout(this.#planTimer);
      this.#planTimer = setTimeout(() => void this.#makePlan({ prompt, maxNewTokens, variants }), PLAN_DELAY_MS);
    });
    addEventListener('hashchange', () => this.#follow(fromFragment(location.hash)));
    if (this.settings.value.model === SHIPPED) void this.openShipped().then(() => this.run());
  }

  set(change: Partial<Settings>): void {
    this.settings.value = { ...this.settings.value, ...change };
  }

  openShipped(): Promise<void> {
    return this.#open(SHIPPED, { kind: 'shipped', name: SHIPPED });
  }

  openHub(id: string): Promise<void> {
    return this.#open(id, { kind: 'hub', id });
  }

  openFiles(files: readonly File[]): Promise<void> {
    return this.#open(OWN_FILES, { kind: 'files', files });
  }

  /** @param model as in settings */
  async #open(model: string, source: ModelSource): Promise<void> {
    this.stop();
    this.#opening?.cancel();
    batch(() => {
      this.set({ model });
      this.model.value = { status: 'loading', progress: null };
      this.plan.value = null;
    });
    const call = this.#client.call('open', { source, backend: this.settings.value.backend }, (progress) => {
      if (this.#opening === call) this.model.value = { status: 'loading', progress };
    });
    this.#opening = call;
    try {
      const facts = await call.result;
      if (this.#opening !== call) return;
      // A model that is of a variant already cannot become another.
      if (facts.attention !== 'mha') this.set({ variants: [{ attention: facts.attention, eviction: 'none' }] });
      this.model.value = { status: 'ready', facts };
      this.#opened = { model, facts };
    } catch (error) {
      if (this.#opening !== call) return;
      this.#keepOpened({ model, failure: failureOf(error) });
    }
  }

  /** The previous model is still the worker's. */
  #keepOpened(failed: FailedModel): void {
    const isCancelled = failed.failure.kind === 'cancelled';
    batch(() => {
      if (this.#opened) {
        this.set({ model: this.#opened.model });
        this.model.value = { status: 'ready', facts: this.#opened.facts, ...(isCancelled ? {} : { failed }) };
      } else {
        this.model.value = isCancelled ? { status: 'unasked' } : { status: 'failed', failed };
      }
    });
  }

  cancelOpening(): void {
    this.#opening?.cancel();
  }

  stop(): void {
    this.#turn++;
    this.#running?.cancel();
  }

  /** Another backend; a run that is going on goes on there. */
  setBackend(backend: BackendChoice): void {
    if (backend === this.settings.value.backend) return;
    this.set({ backend });
    this.#running?.cancel();
  }

  /** All variants, one after the other. */
  async run(): Promise<void> {
    const model = this.model.value;
    if (!this.canRun.value || model.status !== 'ready') return;
    this.stop();
    const turn = this.#turn;
    const settings = this.settings.value;
    const views = settings.variants.map((variant) => new RunView(variant, { settings, model: model.facts }));
    batch(() => {
      this.runs.value = views;
      this.isRunning.value = true;
    });
    for (const view of views) {
      if (turn === this.#turn) await this.#runOne(view, settings, turn);
      else view.fail({ kind: 'cancelled', message: '' });
    }
    if (this.runs.value === views) this.isRunning.value = false;
    this.#redraw.ask();
  }

  async #runOne(view: RunView, settings: Settings, turn: number): Promise<void> {
    const { variants: _, model: __, ...same } = settings;
    let generated: readonly number[] = [];
    for (;;) {
      const { backend } = this.settings.value;
      const call = this.#client.call('run', { ...same, ...view.variant, backend, generated }, (event) => {
        view.apply(event);
        this.#redraw.ask();
      });
      this.#running = call;
      const result = await call.result.catch((error: unknown): RunResult | Failure => failureOf(error));
      if (this.#running === call) this.#running = null;
      const wasCancelled = 'kind' in result ? result.kind === 'cancelled' : result.finish === 'cancelled';
      if (wasCancelled && turn === this.#turn && this.settings.value.backend !== backend) {
        if ('tokens' in result) generated = result.tokens;
        view.notes.push(`From token ${generated.length + 1} on ${this.settings.value.backend}.`);
        continue;
      }
      if ('kind' in result) view.fail(result);
      else view.end(result);
      this.#redraw.ask();
      return;
    }
  }

  async #makePlan(request: Pick<Settings, 'prompt' | 'maxNewTokens' | 'variants'>): Promise<void> {
    try {
      this.plan.value = await this.#client.call('plan', request).result;
    } catch {
      // The run says what is wrong.
      this.plan.value = null;
    }
  }

  /** The address was changed by hand, or by going back. */
  #follow(settings: Settings): void {
    if (toFragment(settings) === toFragment(this.settings.value)) return;
    const isSameModel = settings.model === this.settings.value.model;
    this.settings.value = settings;
    if (isSameModel) return;
    if (settings.model === SHIPPED) void this.openShipped();
    else this.model.value = { status: 'unasked' };
  }
}

function failureOf(error: unknown): Failure {
  return error instanceof CallError ? error.failure : { kind: 'other', message: String(error) };
}
