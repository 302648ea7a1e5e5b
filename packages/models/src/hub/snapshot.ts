import { expectOptions, FileError, type OptionNames } from '@mixsga/backend';
import { readFile, weightsFile, type CheckpointFiles } from '../io/checkpoint-files';
import { isNode } from '../io/environment';
import { MAX_INDEX_BYTES, parseShardIndex } from '../io/shards';
import { tokenizerFiles } from '../tokenizers/tokenizer-files';
import { BrowserCache } from './browser-cache';
import type { ModelCache } from './cache';
import { FolderCache } from './folder-cache';
import { ProgressMeter, type DownloadProgress } from './progress';
import { listRepository, OfflineError, parseHubId, repositoryUrl, type HubFile, type HubId, type HubListing } from './repository';
import { HUB_SETTINGS, hubSettings, type HubSettings } from './settings';

export interface DownloadOptions {
  /** Called some ten times a second. */
  readonly progress?: ((progress: DownloadProgress) => void) | undefined;
  /** Ends the download; what has come is kept, and resumed next time. */
  readonly signal?: AbortSignal | undefined;
  /** Instead of what the environment says. */
  readonly hub?: Partial<HubSettings> | undefined;
  /** False for configuration and tokenizer alone. Default true. */
  readonly weights?: boolean | undefined;
  /** Called with the configuration and the tokenizer before any weights are fetched; what it throws ends the download. */
  readonly beforeWeights?: ((files: CheckpointFiles) => Promise<void>) | undefined;
}

/** Of those that take a whole model. */
export const FETCH_OPTIONS: OptionNames<Omit<DownloadOptions, 'weights' | 'beforeWeights'>> = { progress: true, signal: true, hub: HUB_SETTINGS };
export const DOWNLOAD_OPTIONS: OptionNames<DownloadOptions> = { ...FETCH_OPTIONS, weights: true, beforeWeights: true };

/** What a model is made of beside its weights. */
const SMALL_FILES = [
  ...['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'],
  ...['added_tokens.json', 'vocab.json', 'merges.txt', 'chat_template.jinja'],
];

/**
 * The files of a model of the hub. In Node they lie in the cache of Python's tools, in a browser in its Cache API; only what is
 * missing is fetched, each file checked by its hash.
 * @param id "organisation/name" or "organisation/name@revision"; a full commit in the cache needs no connection
 * @throws ArgumentError when the id is malformed
 * @throws FileError when the model cannot be had: it says why and what to do
 */
export async function downloadModel(id: string, options: DownloadOptions = {}): Promise<CheckpointFiles> {
  expectOptions('downloadModel', options, DOWNLOAD_OPTIONS);
  const hubId = parseHubId(id);
  const settings = await hubSettings(options.hub);
  const cache = isNode() ? new FolderCache(hubId, settings) : new BrowserCache(hubId, settings);
  return fetchModel(hubId, cache, settings, options);
}

/** {@link downloadModel} into a given cache. */
export async function fetchModel(
  id: HubId, cache: ModelCache, settings: HubSettings, { progress, signal, weights = true, beforeWeights }: DownloadOptions,
): Promise<CheckpointFiles> {
  const known = await cache.commit();
  const here = known === null ? null : await cache.files(known);
  const missing = here && (await lacking(here, weights));
  if (settings.offline) {
    const advice = 'and HF_HUB_OFFLINE is set; unset it, or fetch the model first';
    if (here === null) throw new FileError(cache.where, `the model is not in the cache, ${advice}`);
    if (missing !== null) throw new FileError(here.where, `the cache lacks ${missing}, ${advice}`);
  }
  const whole = missing === null ? here : null;
  if (whole && (settings.offline || known === id.revision)) return whole;

  let listing: HubListing;
  try {
    listing = await listRepository(id, settings, signal);
  } catch (error) {
    if (error instanceof OfflineError && whole) return whole;
    throw error;
  }
  const early = new Set<HubFile>();
  const fetchEarly = async (file: HubFile) => {
    await cache.fetch(file, listing.commit, new ProgressMeter(undefined, file.size), signal);
    early.add(file);
  };
  const needed = listing.files.filter(({ path }) => SMALL_FILES.includes(path));
  if (weights) {
    const names = listing.files.map(({ path }) => path);
    const name = weightsFile(names, repositoryUrl(id, settings));
    tokenizerFiles(names, id.name);
    for (const file of needed) await fetchEarly(file);
    await beforeWeights?.(await cache.files(listing.commit));
    const file = listing.files.find(({ path }) => path === name)!;
    needed.push(file);
    if (name.endsWith('.index.json')) {
      // Which shards there are is in the index.
      await fetchEarly(file);
      needed.push(...(await shardsOf(await cache.files(listing.commit), name, listing)));
    }
  }
  const meter = new ProgressMeter(progress, needed.reduce((total, { size }) => total + size, 0));
  for (const file of needed) {
    if (early.has(file)) meter.pass(file.path, file.size);
    else await cache.fetch(file, listing.commit, meter, signal);
  }
  await cache.setCommit(listing.commit);
  return cache.files(listing.commit);
}

/** A file that a whole snapshot would have, or null. */
async function lacking(files: CheckpointFiles, weights: boolean): Promise<string | null> {
  if (!files.names.includes('config.json')) return 'config.json';
  if (!weights) return null;
  let name: string;
  try {
    name = weightsFile(files.names, files.where);
  } catch {
    return 'weights';
  }
  if (!name.endsWith('.index.json')) return null;
  const index = parseShardIndex(await readFile(files, name, MAX_INDEX_BYTES), files.path(name));
  return [...index.values()].find((shard) => !files.names.includes(shard)) ?? null;
}

async function shardsOf(files: CheckpointFiles, name: string, listing: HubListing): Promise<HubFile[]> {
  const index = parseShardIndex(await readFile(files, name, MAX_INDEX_BYTES), files.path(name));
  return [...new Set(index.values())].sort().map((shard) => {
    const file = listing.files.find(({ path }) => path === shard);
    if (!file) throw new FileError(files.path(name), `lists the shard ${shard}, and the repository has none; ask its authors`);
    return file;
  });
}
