// The files of a model, from wherever they come.
import { BackendError, FileError } from '@mixsga/backend';
import {
  createTokenizer, downloadModel, inspectConfig, openCheckpoint, type FileReference, type ModelReport, type Tokenizer,
} from '@mixsga/models';
import type { BackendChoice, LoadProgress, ModelSource } from '../protocol';
import { expectFits } from './fit';

/** A model whose files are at hand. */
export interface Checkpoint {
  readonly name: string;
  /** For `fromPretrained`. */
  readonly source: string | readonly FileReference[];
  readonly tokenizer: Tokenizer;
  /** What the model is and takes under a variant. @throws ArgumentError when the variant does not fit it */
  report(attention?: string): Promise<ModelReport>;
}

interface FetchOptions {
  /** URL of the folder that the app was loaded from. */
  readonly base: string;
  readonly backend: BackendChoice;
  readonly progress: (progress: LoadProgress) => void;
  readonly signal: AbortSignal;
}

/**
 * @throws FileError when a file is missing or malformed, or the hub does not give the model
 * @throws BackendError when the model cannot fit this device; of one of the hub no weights are fetched then
 */
export async function fetchCheckpoint(source: ModelSource, options: FetchOptions): Promise<Checkpoint> {
  const files = await locate(source, options);
  const { config, configWhere, tokenizer, tensors } = await openCheckpoint(files, { signal: options.signal });
  await tensors.close();
  const { json, where } = await tokenizer();
  const name = nameOf(source);
  const reports = new Map<string | undefined, Promise<ModelReport>>();
  const report = (attention?: string) => {
    if (!reports.has(attention)) reports.set(attention, inspectConfig(name, config, configWhere, attention));
    return reports.get(attention)!;
  };
  await expectFits(await report(), options.backend);
  return { name, source: files, tokenizer: createTokenizer(json, where), report };
}

function nameOf(source: ModelSource): string {
  if (source.kind === 'files') return 'your files';
  return source.kind === 'hub' ? source.id : source.name;
}

async function locate(source: ModelSource, options: FetchOptions): Promise<string | readonly FileReference[]> {
  if (source.kind === 'files') return source.files.filter(({ name }) => !name.startsWith('.'));
  if (source.kind === 'shipped') return fetchShipped(source.name, options);
  const { progress, signal, backend } = options;
  if (typeof caches === 'undefined') {
    throw new BackendError('a model of the hub is kept in the Cache API, which browsers have on https and localhost alone; open the page there');
  }
  const small = await downloadModel(source.id, { signal, weights: false });
  const config = await small.open('config.json');
  try {
    const bytes = new Uint8Array(config.size);
    await config.readInto(bytes, 0);
    const json = JSON.parse(new TextDecoder().decode(bytes)) as unknown;
    await expectFits(await inspectConfig(source.id, json, small.path('config.json')), backend);
  } finally {
    await config.close();
  }
  await downloadModel(source.id, { signal, progress });
  return source.id;
}

const SHIPPED_FILES = ['config.json', 'tokenizer.json', 'model.safetensors'];

/** The app's own files, each in one request, so that any server of static files will do. */
async function fetchShipped(name: string, { base, progress, signal }: FetchOptions): Promise<FileReference[]> {
  const references: FileReference[] = [];
  for (const file of SHIPPED_FILES) {
    const url = new URL(`models/${name}/${file}`, base).href;
    const response = await fetch(url, { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw new FileError(url, `cannot be reached: ${error instanceof Error ? error.message : String(error)}; reload the page`);
    });
    if (!response.ok || !response.body) throw new FileError(url, `the server answers ${response.status}; is the build whole?`);
    // A compressed body is longer than its content-length says.
    const total = response.headers.has('content-encoding') ? 0 : Number(response.headers.get('content-length') ?? 0);
    let bytes = 0;
    const counted = response.body.pipeThrough(
      new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform(chunk, controller) {
          bytes += chunk.length;
          progress({ file, bytes, total, secondsLeft: null });
          controller.enqueue(chunk);
        },
      }),
    );
    references.push({ name: file, blob: await new Response(counted).blob() });
  }
  return references;
}
