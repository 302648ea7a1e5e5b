import { ArgumentError, FileError, MixsgaError } from '@mixsga/backend';
import { HttpStatusError, readBody, request, SilenceWatch, SilentServerError, unreachable } from '../io/http';
import type { HubSettings } from './settings';

/** A model or a data set on the hub at a revision. */
export interface HubId {
  /** Default: a model. */
  readonly kind?: 'dataset';
  /** "organisation/name" */
  readonly name: string;
  /** A branch, a tag or a commit; default main. */
  readonly revision: string;
}

/** A file of a repository, with the hash that its content has to have. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** Hexadecimal: SHA-256 of the content of a large file, or git's SHA-1 of a small one. Also its name in the cache. */
  readonly hash: string;
}

/** The files of a repository at a commit. */
export interface HubListing {
  readonly commit: string;
  readonly files: readonly HubFile[];
}

/** Sanity limits on what a hub answers. The hub itself lists up to 1,000 files a page, some 200 bytes each. */
const MAX_FILES = 10_000;
const MAX_FILE_BYTES = 2 ** 43;
const MAX_LISTING_ANSWERS = 50;
const MAX_LISTING_BYTES = 2 ** 24;

/** Whether a name has the form of a hub id: "organisation/name" or "organisation/name@revision". */
export function isHubId(name: string): boolean {
  return /^[\w][\w.-]*\/[\w][\w.-]*(@.+)?$/.test(name);
}

/** @throws ArgumentError when it is not of that form, or the revision is no name of one */
export function parseHubId(id: string, kind?: 'dataset'): HubId {
  const [name, revision = 'main'] = id.split(/@(.*)/s) as [string, string?];
  const plain = /^[\w][\w.-]*(\/[\w][\w.-]*)*$/.test(revision) && !revision.includes('..');
  if (!isHubId(name) || !plain || name.includes('..') || name.includes('--')) {
    throw new ArgumentError(`${nameOfKind(kind)} ${JSON.stringify(id)}: expected "organisation/name" or "organisation/name@revision" (a branch, tag or commit)`);
  }
  return { name, revision, ...(kind && { kind }) };
}

/** What a message calls it. */
function nameOfKind(kind: HubId['kind']): string {
  return kind === 'dataset' ? 'data set' : 'model';
}

/** The address of a repository, of which those of its files begin. */
export function repositoryUrl({ name, kind }: HubId, { endpoint }: Pick<HubSettings, 'endpoint'>): string {
  return `${endpoint}/${kind === 'dataset' ? 'datasets/' : ''}${name}`;
}

/**
 * The files at the top of a model's repository, or all files of a data set's, as the hub lists them.
 * @throws FileError when there is no such repository or revision, no access, or no connection; it says which
 */
export async function listRepository(
  id: HubId, settings: HubSettings, signal: AbortSignal | undefined,
): Promise<HubListing> {
  const { datasetInfo, listFiles, modelInfo } = await import('@huggingface/hub');
  const { endpoint, token, timeoutMs } = settings;
  const where = repositoryUrl(id, settings);
  let answers = 0;
  let bytesLeft = MAX_LISTING_BYTES;
  // The library's requests take the way of all others, which knows aborting and keeps the token to the endpoint.
  const viaEndpoint: typeof fetch = async (input) => {
    const url = input instanceof Request ? input.url : String(input);
    const own = new URL(url).origin === new URL(endpoint).origin;
    if (++answers > MAX_LISTING_ANSWERS) throw tooLong(where);
    const watch = new SilenceWatch({ signal, timeoutMs });
    const response = await request(url, { accept: 'application/json' }, { token: own ? token : undefined }, watch);
    if (!response.ok) throw new HttpStatusError(url, response.status);
    const body = await readBody(response, bytesLeft, watch, (silence) => new SilentServerError(where, silence));
    if (body === null) throw tooLong(where);
    bytesLeft -= body.length;
    return new Response(body, { headers: response.headers });
  };
  const isDataset = id.kind === 'dataset';
  try {
    const asked = { name: id.name, revision: id.revision, hubUrl: endpoint, fetch: viaEndpoint };
    const { sha } = isDataset
      ? await datasetInfo({ ...asked, additionalFields: ['sha'] })
      : await modelInfo({ ...asked, additionalFields: ['sha'] });
    if (!/^[0-9a-f]{40}$/.test(sha)) throw new FileError(where, `expected the hub to name a commit, got ${JSON.stringify(sha)}; check HF_ENDPOINT`);
    const files: HubFile[] = [];
    const repo = isDataset ? { type: 'dataset' as const, name: id.name } : id.name;
    const entries = listFiles({ repo, revision: sha, recursive: isDataset, hubUrl: endpoint, fetch: viaEndpoint });
    for await (const { type, path, size, oid, lfs } of entries) {
      if (type !== 'file') continue;
      const file = { path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid ?? '' };
      if (!isSound(file) || files.length === MAX_FILES) {
        throw new FileError(where, `expected the hub to list names, sizes and hashes, got ${JSON.stringify(file)}; check HF_ENDPOINT`);
      }
      files.push(file);
    }
    return { commit: sha, files };
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof HttpStatusError) throw withAdvice(error, id, where, token);
    if (error instanceof SilentServerError) throw new OfflineError(where, error);
    if (MixsgaError.isInstance(error)) throw error;
    if (error instanceof TypeError && /fetch|network|load failed/i.test(error.message)) throw new OfflineError(where, unreachable(where, error));
    throw new FileError(where, `expected the answers of a Hugging Face hub, got others; check HF_ENDPOINT`, { cause: error });
  }
}

function tooLong(where: string): FileError {
  const limit = `${MAX_LISTING_ANSWERS} pages and ${MAX_LISTING_BYTES / 2 ** 20} MiB`;
  return new FileError(where, `expected a list of files of at most ${limit}, got a longer one; check HF_ENDPOINT`);
}

/** There is no connection to the hub: what the cache has may do. */
export class OfflineError extends FileError {
  constructor(where: string, { message }: FileError) {
    super(where, message.replace(/^\S+: /, ''));
  }
}

/** The address of a file at a commit. */
export function fileUrl(id: HubId, commit: string, path: string, settings: HubSettings): string {
  return `${repositoryUrl(id, settings)}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** What to do about a refusal. */
export function withAdvice(error: HttpStatusError, { kind, name, revision }: HubId, where: string, token: string | undefined): FileError {
  const { status } = error;
  if (status === 401 || status === 403) {
    const advice = token
      ? `the token (HF_TOKEN, or that of \`hf auth login\`) has no access; ask for it at ${where}, or use a token of an account that has it`
      : `check the name; if the ${nameOfKind(kind)} is gated or private, get access at ${where}, and run \`hf auth login\` or set HF_TOKEN to a token of yours`;
    return new FileError(where, `the hub answers ${status}: ${advice}`, { cause: error });
  }
  if (status === 404) {
    return new FileError(where, `the hub answers 404: no ${nameOfKind(kind)} ${name} with a revision ${revision}; check both names`, { cause: error });
  }
  return new FileError(where, `the hub answers ${status}; try again later`, { cause: error });
}

/** A name in the repository, a size that a file can have, and a hash: all that is made of it are paths and requests. */
function isSound({ path, size, hash }: HubFile): boolean {
  const plain = typeof path === 'string' && !/[\\\0]|(^|\/)\.\.?($|\/)|^\//.test(path) && path.length > 0 && path.length < 256;
  return plain && Number.isSafeInteger(size) && size >= 0 && size < MAX_FILE_BYTES && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash);
}
