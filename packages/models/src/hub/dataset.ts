import { expectOptions, FileError, type OptionNames } from '@mixsga/backend';
import type { CheckpointFiles } from '../io/checkpoint-files';
import { writeFileAtomic } from '../io/atomic';
import { FolderCache } from './folder-cache';
import { ProgressMeter } from './progress';
import { type HubListing, listRepository, OfflineError, parseHubId, repositoryUrl } from './repository';
import { hubSettings } from './settings';
import { type DownloadOptions, FETCH_OPTIONS } from './snapshot';

export interface DatasetOptions extends Omit<DownloadOptions, 'weights' | 'beforeWeights'> {
  /** Which of all files of the repository are wanted. */
  readonly select: (paths: readonly string[]) => readonly string[];
}

const OPTIONS: OptionNames<DatasetOptions> = { ...FETCH_OPTIONS, select: true };

/**
 * Files of a data set of the hub, in the cache of Python's tools (Node). Only what is missing is fetched, each file checked by its
 * hash.
 * @param id "organisation/name" or "organisation/name@revision"; a full commit in the cache needs no connection
 * @returns the wanted files alone, in the order of `select`
 * @throws ArgumentError when the id is malformed; what `select` throws
 * @throws FileError when the data set cannot be had: it says why and what to do
 */
export async function downloadDataset(id: string, options: DatasetOptions): Promise<CheckpointFiles> {
  expectOptions('downloadDataset', options, OPTIONS);
  const { select, progress, signal, hub } = options;
  const hubId = parseHubId(id, 'dataset');
  const settings = await hubSettings(hub);
  const cache = new FolderCache(hubId, settings);
  const wantedOf = ({ files }: HubListing) => select(files.map(({ path }) => path));
  const known = await cache.commit();
  const earlier = known === null ? null : await readListing(cache, known);
  const here = earlier && (await cache.files(earlier.commit));
  const missing = here && wantedOf(earlier).find((path) => !here.names.includes(path));
  const whole = here && missing === undefined ? { ...here, names: wantedOf(earlier) } : null;
  if (whole && (settings.offline || known === hubId.revision)) return whole;
  if (settings.offline) {
    const lack = here ? `the cache lacks ${missing}` : 'the data set is not in the cache';
    throw new FileError(cache.where, `${lack}, and HF_HUB_OFFLINE is set; unset it, or fetch the data set first`);
  }
  let listing: HubListing;
  try {
    listing = await listRepository(hubId, settings, signal);
  } catch (error) {
    if (error instanceof OfflineError && whole) return whole;
    throw error;
  }
  const wanted = wantedOf(listing);
  const files = wanted.map((path) => {
    const file = listing.files.find((candidate) => candidate.path === path);
    if (!file) throw new FileError(repositoryUrl(hubId, settings), `has no file ${path}; check the name`);
    return file;
  });
  const meter = new ProgressMeter(progress, files.reduce((total, { size }) => total + size, 0));
  for (const file of files) await cache.fetch(file, listing.commit, meter, signal);
  await writeFileAtomic(listingPath(cache, listing.commit), `${JSON.stringify(listing.files)}\n`);
  await cache.setCommit(listing.commit);
  return { ...(await cache.files(listing.commit)), names: wanted };
}

/** What the repository had at a commit: without it nobody could tell, without a connection, whether files are missing. */
async function readListing(cache: FolderCache, commit: string): Promise<HubListing | null> {
  const { readFile } = await import('node:fs/promises');
  try {
    return { commit, files: JSON.parse(await readFile(listingPath(cache, commit), 'utf8')) as HubListing['files'] };
  } catch {
    return null;
  }
}

function listingPath({ where }: FolderCache, commit: string): string {
  return `${where}/listings/${commit}.json`;
}
