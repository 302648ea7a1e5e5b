// The backend, the model and its caches. One of each at a time.
import { ArgumentError, BackendError, DeviceLostError, onWarning, startBackend } from '@mixsga/backend';
import type { KvCache } from '@mixsga/kv-cache';
import { fromPretrained, generate, parseAttention, type ModelReport, type Pretrained } from '@mixsga/models';
import {
  type BackendChoice, type LoadProgress, type ModelFacts, type Plan, type PlanRequest, type RequestOf, type RunEvent,
  type RunRequest, type RunResult, type RunStep,
} from '../protocol';
import { fetchCheckpoint, type Checkpoint } from './checkpoint';
import { chooseWeights } from './fit';
import { limitOf, cacheLayers, keptOf, newTokensOf, planVariant } from './plan';
import { CacheWatch, Pace, piecesOf, routingFacts } from './watch';

type Emit = (event: RunEvent) => void;

/** The backend that runs. */
interface Started {
  readonly choice: BackendChoice;
  readonly name: Exclude<BackendChoice, 'auto'>;
  readonly detail: string;
}

export class Engine {
  #checkpoint: Checkpoint | null = null;
  /** What opening it warned of; a run, which reads its configuration again, does not repeat that. */
  #warnings: readonly string[] = [];
  #started: Started | null = null;
  #loaded: { readonly key: string; readonly pretrained: Pretrained } | null = null;

  /** @param base URL of the folder that the app was loaded from */
  constructor(readonly base: string) {}

  async open({ source, backend }: RequestOf<'open'>, progress: (event: LoadProgress) => void, signal: AbortSignal): Promise<ModelFacts> {
    const warnings: string[] = [];
    const take = (message: string) => void warnings.push(message);
    const checkpoint = await listening(take, () => fetchCheckpoint(source, { base: this.base, backend, progress, signal }));
    this.#unload();
    this.#checkpoint = checkpoint;
    this.#warnings = warnings;
    const { name, family, layers, kvHeads, headDim, contextLength, parameters, attention } = await checkpoint.report();
    return { name, family, layers, kvHeads, headDim, contextLength, parameters, attention, warnings };
  }

  async plan({ prompt, maxNewTokens, variants }: PlanRequest): Promise<Plan> {
    const checkpoint = this.#expectCheckpoint();
    const own = await checkpoint.report();
    const promptTokens = checkpoint.tokenizer.encode(prompt).length;
    const tokens = promptTokens + newTokensOf(maxNewTokens, promptTokens, own.contextLength) - 1;
    return {
      promptTokens,
      tokens,
      mha: tokens * own.kvBytesPerTokenFull,
      gqa: own.kvBytesPerTokenBy['gqa:2'] === undefined ? null : tokens * own.kvBytesPerTokenBy['gqa:2'],
      variants: await Promise.all(
        variants.map(async (variant) => {
          try {
            return planVariant(await checkpoint.report(variant.attention), variant, tokens);
          } catch (error) {
            if (!ArgumentError.isInstance(error)) throw error;
            return { error: error.message };
          }
        }),
      ),
    };
  }

  run(request: RunRequest, emit: Emit, signal: AbortSignal): Promise<RunResult> {
    const take = (message: string) => {
      if (!this.#warnings.includes(message)) emit({ type: 'warning', message });
    };
    return listening(take, () => this.#run(request, emit, signal));
  }

  async #run(request: RunRequest, emit: Emit, signal: AbortSignal): Promise<RunResult> {
    const checkpoint = this.#expectCheckpoint();
    const report = await checkpoint.report(request.attention);
    const prompt = checkpoint.tokenizer.encode(request.prompt);
    if (prompt.length === 0) throw new ArgumentError('prompt: expected some text, got none');
    if (prompt.length >= report.contextLength) {
      throw new ArgumentError(`prompt: expected fewer than the ${report.contextLength} tokens of the model's context, got ${prompt.length}; shorten it`);
    }
    const maxNewTokens = newTokensOf(request.maxNewTokens, prompt.length, report.contextLength);
    const length = prompt.length + maxNewTokens;
    const loaded = await this.#load(request, report, { length, emit, signal });
    let { pretrained } = loaded;
    const { tokenizer, stopTokens } = pretrained;
    const layers = cacheLayers(request.attention, report.layers);
    const { ratios } = parseAttention(request.attention).experts ?? { ratios: [1] };
    const limit = limitOf(report, request, length - 1);
    // What does not fit is said now. It takes no page.
    const empty = pretrained.decoder.createCache({ cache: limit, maxTokens: length });
    const { stored, budget: kvBudget } = empty;
    empty.dispose();
    emit({
      type: 'started',
      backend: this.#started!.name,
      backendDetail: this.#started!.detail,
      weights: loaded.weights,
      prompt: piecesOf(tokenizer, prompt),
      generated: piecesOf(tokenizer, request.generated, prompt.at(-1)),
      cacheLayers: layers, ratios, kvBudget,
      kept: keptOf(request.attention, report, stored),
      mhaPerToken: report.kvBytesPerTokenFull,
      gqaPerToken: report.kvBytesPerTokenBy['gqa:2'] ?? null,
      tokensAtMost: length - 1,
    });
    emit({ type: 'phase', phase: 'prompt' });

    const watch = new CacheWatch(new Set(layers).size, length - 1, limit !== 'none');
    let seen: Omit<RunStep, 'type' | 'token' | 'speed'> | null = null;
    const pace = new Pace(request.pace);
    const generation = generate(pretrained.decoder, [prompt], {
      ...samplingOf(request),
      maxNewTokens, stopTokens, tokenizer, signal,
      generated: [request.generated],
      cache: limit,
      onPrefill: (_, done) => emit({ type: 'progress', done }),
      onPass: (_, cache: KvCache) => {
        seen = watch.look(cache);
      },
      recover: async () => {
        this.#forget();
        watch.restart();
        pretrained = (await this.#reload(request, report, { length, emit, signal })).pretrained;
        emit({ type: 'recovered', backend: this.#started!.name, after: generation.tokens(0).length });
        return pretrained.decoder;
      },
    });
    let finish: RunResult['finish'] = 'length';
    try {
      for await (const event of generation) {
        const { prefillTokensPerSecond: prefill, tokensPerSecond: decode } = generation.stats();
        const text = event.finish === 'eos' ? tokenizer.decode([event.token]) : event.text;
        emit({ type: 'step', token: { id: event.token, text }, ...seen!, speed: { prefill, decode } });
        if (event.finish) finish = event.finish;
        else await pace.wait(signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
      finish = 'cancelled';
    }
    const tokens = generation.tokens(0);
    if (finish === 'cancelled' || ratios.length === 1) return { finish, tokens, routing: null };
    emit({ type: 'phase', phase: 'inspecting' });
    const onProgress = (done: number) => emit({ type: 'progress', done });
    const routing = await routingFacts(pretrained.decoder, prompt, tokens, { signal, onProgress }).catch((error: unknown) => {
      if (!signal.aborted && !DeviceLostError.isInstance(error)) throw error;
      return null; // the text is whole
    });
    return { finish, tokens, routing };
  }

  #expectCheckpoint(): Checkpoint {
    if (this.#checkpoint) return this.#checkpoint;
    throw new ArgumentError('run: expected a model, and none is open; open one first');
  }

  /** The model under a variant on a backend: what is there, or made anew. */
  async #load(request: RunRequest, report: ModelReport, { length, emit, signal }: { length: number; emit: Emit; signal: AbortSignal }) {
    if (this.#started?.choice !== request.backend) {
      emit({ type: 'phase', phase: 'backend' });
      this.#unload();
      this.#started = null;
      const { name, detail, passedOver } = await startBackend(request.backend, { wasmPaths: new URL('wasm/', this.base).href });
      const missed = passedOver.filter((other) => other.name === 'webgpu').map(({ reason }) => `; not webgpu: ${reason}`);
      this.#started = { choice: request.backend, name: name as Started['name'], detail: detail + missed.join('') };
    }
    const weights = chooseWeights(report, this.#started.name, length);
    const key = `${request.attention} ${weights}`;
    if (this.#loaded?.key !== key) {
      emit({ type: 'phase', phase: 'weights' });
      this.#unload();
      const { source } = this.#checkpoint!;
      const pretrained = await fromPretrained(source, { attention: request.attention, weights, signal }).catch((error: unknown) => {
        if (DeviceLostError.isInstance(error)) this.#started = null;
        throw error;
      });
      this.#loaded = { key, pretrained };
    }
    return { pretrained: this.#loaded.pretrained, weights };
  }

  /** After a lost device: on a new one, or where there is none, on wasm. */
  async #reload(request: RunRequest, report: ModelReport, context: { length: number; emit: Emit; signal: AbortSignal }) {
    try {
      return await this.#load(request, report, context);
    } catch (error) {
      if (!BackendError.isInstance(error)) throw error;
      return this.#load({ ...request, backend: 'wasm' }, report, context);
    }
  }

  #unload(): void {
    this.#loaded?.pretrained.decoder.dispose();
    this.#loaded = null;
  }

  /** After a lost device. */
  #forget(): void {
    this.#unload();
    this.#started = null;
  }
}

/** Takes the warnings that work gives. */
async function listening<T>(take: (message: string) => void, work: () => Promise<T>): Promise<T> {
  const stop = onWarning(take);
  try {
    return await work();
  } finally {
    stop();
  }
}

/** topK and topP have no meaning, and are refused, where the likeliest token is taken. */
function samplingOf({ temperature, topK, topP, seed }: RunRequest) {
  if (temperature === 0) return {};
  return { temperature, seed, ...(topK > 0 ? { topK } : {}), ...(topP < 1 ? { topP } : {}) };
}

