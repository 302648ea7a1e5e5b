// What the page and its worker say to each other. The worker owns backend, models and caches; the page has plain data alone.
//
// page → worker   Call { id, method, request } | Cancel { cancel: id }
// worker → page   Event { id, event }*, then one Answer { id, result } | { id, error }
//
// Everything is structured-clonable. Calls of different ids overlap; what needs the model takes its turn.

/** Where a model comes from. */
export type ModelSource =
  | { readonly kind: 'shipped'; readonly name: string }
  | { readonly kind: 'hub'; readonly id: string }
  | { readonly kind: 'files'; readonly files: readonly File[] };

export const backendChoices = ['auto', 'webgpu', 'wasm', 'cpu'] as const;
export type BackendChoice = (typeof backendChoices)[number];

/** Attention variant and eviction policy, as @mixsga/models and @mixsga/kv-cache read them. */
export interface Variant {
  readonly attention: string;
  readonly eviction: string;
  /** What the cache may hold, as a share of the unmodified cache at its end: the least important tokens are compressed further when it is full. Default: no limit. */
  readonly kvBudget?: number | undefined;
}

export interface Methods {
  /** What can be chosen. */
  catalog: { request: null; event: never; result: Catalog };
  /** Fetches a model's files and reads its configuration; the weights wait for a run. It becomes the model of later calls. */
  open: { request: { readonly source: ModelSource; readonly backend: BackendChoice }; event: LoadProgress; result: ModelFacts };
  /** What runs would take, before they run. */
  plan: { request: PlanRequest; event: never; result: Plan };
  /** Generates. A cancelled run answers with what there is. */
  run: { request: RunRequest; event: RunEvent; result: RunResult };
}

export type Method = keyof Methods;
export type RequestOf<M extends Method> = Methods[M]['request'];
export type EventOf<M extends Method> = Methods[M]['event'];
export type ResultOf<M extends Method> = Methods[M]['result'];

export type ToWorker = { [M in Method]: { readonly id: number; readonly method: M; readonly request: RequestOf<M> } }[Method] | { readonly cancel: number };
export type FromWorker =
  | { readonly id: number; readonly event: EventOf<Method> }
  | { readonly id: number; readonly result: ResultOf<Method> }
  | { readonly id: number; readonly error: Failure };

/** An error, in one line that says what to do. `cancelled` has none to tell. */
export interface Failure {
  readonly kind: 'argument' | 'file' | 'backend' | 'cancelled' | 'other';
  readonly message: string;
}

/** A name of a catalog, and an example of its spec. */
export interface Choice {
  readonly name: string;
  readonly example: string;
  readonly description: string;
}

export interface Catalog {
  readonly attention: readonly Choice[];
  readonly eviction: readonly Choice[];
  readonly backends: readonly BackendFacts[];
}

export interface BackendFacts {
  readonly name: string;
  readonly available: boolean;
  /** The processor stands in for the device. */
  readonly software: boolean;
  /** The device, or why there is none. */
  readonly detail: string;
}

export interface LoadProgress {
  readonly file: string;
  readonly bytes: number;
  /** 0 when unknown. */
  readonly total: number;
  readonly secondsLeft: number | null;
}

export interface ModelFacts {
  readonly name: string;
  readonly family: string;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly contextLength: number;
  readonly parameters: number;
  /** The variant of the checkpoint itself. */
  readonly attention: string;
  /** What a user should know of its files and no error says, such as keys of config.json that were ignored. */
  readonly warnings: readonly string[];
}

export interface PlanRequest {
  readonly prompt: string;
  readonly maxNewTokens: number;
  readonly variants: readonly Variant[];
}

export interface Plan {
  readonly promptTokens: number;
  /** Tokens that the cache will hold at the end: prompt and new ones but the last, as far as the context length goes. */
  readonly tokens: number;
  /** KV bytes of the unmodified model at that length. */
  readonly mha: number;
  /** KV bytes with one KV head for each two; null where they are of an odd number. */
  readonly gqa: number | null;
  /** One for each variant of the request. */
  readonly variants: readonly (VariantPlan | { readonly error: string })[];
}

export interface VariantPlan {
  /** KV bytes at that length, with tokens split as the ratios ask. */
  readonly bytes: number;
  /** Tokens that a layer keeps. */
  readonly tokensKept: number;
  /** What each expert keeps of a token in a layer. */
  readonly kept: readonly Kept[];
}

/** How a text is generated. */
export interface GenerationSettings {
  readonly backend: BackendChoice;
  readonly prompt: string;
  readonly maxNewTokens: number;
  /** 0: the likeliest token, whatever topK and topP. */
  readonly temperature: number;
  /** 0: all. */
  readonly topK: number;
  readonly topP: number;
  readonly seed: number;
  /** Tokens a second at most, for eyes to follow; 0: as fast as it goes. */
  readonly pace: number;
}

export interface RunRequest extends Variant, GenerationSettings {
  /** What an earlier run of the same request generated, to go on from. */
  readonly generated: readonly number[];
}

export type RunEvent =
  | { readonly type: 'phase'; readonly phase: 'backend' | 'weights' | 'prompt' | 'inspecting' }
  /** What a user should know of the run and no error says. */
  | { readonly type: 'warning'; readonly message: string }
  /** How much of the phase is done, from 0 to 1; not told where that is short. */
  | { readonly type: 'progress'; readonly done: number }
  | RunStarted
  | RunStep
  /** The device was lost; the run goes on there. */
  | { readonly type: 'recovered'; readonly backend: string; readonly after: number };

export interface RunStarted {
  readonly type: 'started';
  readonly backend: string;
  /** Device or build; with `auto`, why not the backends before. */
  readonly backendDetail: string;
  readonly weights: string;
  readonly prompt: readonly Token[];
  readonly generated: readonly Token[];
  /** Of each layer of the model, the layer of the cache that it reads. */
  readonly cacheLayers: readonly number[];
  /** What each expert keeps of a token in a layer, and under a KV budget what coarser forms do. */
  readonly kept: readonly Kept[];
  /** Of each expert. */
  readonly ratios: readonly number[];
  /** Bytes that the cache may hold; null for no limit. */
  readonly kvBudget: number | null;
  /** KV bytes a token of the unmodified model, and with one KV head for each two. */
  readonly mhaPerToken: number;
  readonly gqaPerToken: number | null;
  readonly tokensAtMost: number;
}

/** What is kept of a token in a layer of the model. */
export interface Kept {
  /** Of the bytes that the unmodified model takes for its keys and values; where layers share them, the layer's part. */
  readonly share: number;
  /** `2 of 8 heads`, `64 of 256 dimensions`, `all 8 heads, shared by 2 layers`. */
  readonly text: string;
}

export interface Token {
  readonly id: number;
  /** What it adds to the text; empty where a character is not whole yet. */
  readonly text: string;
}

/** In {@link RunStep.experts}: the token was evicted. */
export const EVICTED = 255;

/** One pass: tokens came into the cache, and the next one was chosen. */
export interface RunStep {
  readonly type: 'step';
  readonly token: Token;
  readonly cache: CacheFacts;
  /** Position of the first token in `experts`. */
  readonly first: number;
  /** [layers of the cache, tokens] of the tokens from `first` on, row by row; see {@link EVICTED}. */
  readonly experts: Uint8Array;
  readonly speed: Speed;
}

/** As the cache reports it. */
export interface CacheFacts {
  readonly tokensSeen: number;
  readonly tokensKept: number;
  readonly bytesUsed: number;
  readonly bytesAllocated: number;
  /** Kept tokens by expert, over all layers. */
  readonly expertCounts: readonly number[];
}

/** Tokens a second, waiting for the pace left out. */
export interface Speed {
  readonly prefill: number | null;
  readonly decode: number | null;
}

export interface RunResult {
  readonly finish: 'eos' | 'stop' | 'length' | 'cancelled';
  readonly tokens: readonly number[];
  readonly routing: RoutingFacts | null;
}

/** What the routers make of the whole text, every token of it in the cache. */
export interface RoutingFacts {
  /** Share of tokens whose arg max is the expert that expert choice gives them, from the same scores (prefill), over all layers. */
  readonly agreement: number;
  readonly agreementByLayer: readonly number[];
  /** For each layer, [tokens, experts]: the scores that the run's decisions came from. */
  readonly scores: readonly Float32Array[];
}
