import { FileError } from '@mixsga/backend';
import { blobSource } from '../io/byte-source';
import type { CheckpointFiles } from '../io/checkpoint-files';
import { fetchRange, HttpStatusError } from '../io/http';
import { isCommit, wrongContent, type ModelCache } from './cache';
import type { ProgressMeter } from './progress';
import { fileUrl, repositoryUrl, withAdvice, type HubFile, type HubId } from './repository';
import type { HubSettings } from './settings';
import { Sha256 } from './sha256';

const CACHE_NAME = 'mixsga-hub';

/** Files of the hub in the Cache API of a browser, which keeps them on disk. A download that is left with its page begins anew. */
export class BrowserCache implements ModelCache {
  readonly where: string;

  constructor(
    private readonly id: HubId,
    private readonly settings: HubSettings,
  ) {
    this.where = repositoryUrl(id, settings);
    if (typeof caches === 'undefined') {
      throw new FileError(this.where, 'expected the Cache API, which browsers have on https and localhost alone; serve the page so, or pass files');
    }
  }

  async commit(): Promise<string | null> {
    if (isCommit(this.id.revision)) return this.id.revision;
    const entry = await (await caches.open(CACHE_NAME)).match(this.#ref);
    return entry ? entry.text() : null;
  }

  async setCommit(commit: string): Promise<void> {
    if (this.id.revision !== commit) await (await caches.open(CACHE_NAME)).put(this.#ref, new Response(commit));
  }

  async files(commit: string): Promise<CheckpointFiles> {
    const cache = await caches.open(CACHE_NAME);
    const path = (name: string) => fileUrl(this.id, commit, name, this.settings);
    const prefix = path('');
    const names = (await cache.keys())
      .filter(({ url }) => url.startsWith(prefix))
      .map(({ url }) => decodeURIComponent(url.slice(prefix.length)));
    const open = async (name: string) => {
      const entry = await cache.match(path(name));
      if (!entry) throw new FileError(path(name), 'expected it in the cache of this browser, and it is gone; fetch it again');
      return blobSource(await entry.blob(), path(name));
    };
    return { where: this.where, names, path, open };
  }

  async fetch(file: HubFile, commit: string, meter: ProgressMeter, signal: AbortSignal | undefined): Promise<void> {
    const cache = await caches.open(CACHE_NAME);
    const url = fileUrl(this.id, commit, file.path, this.settings);
    meter.start(file.path, file.size, 0);
    if (!(await cache.match(url))) {
      const { token, timeoutMs } = this.settings;
      const bytes = checked(file, url, fetchRange(url, 0, file.size, { signal, token, timeoutMs }), meter);
      const { stream, failure } = streamOf(bytes);
      try {
        // An entry appears when its stream ends well, and only then.
        await cache.put(url, new Response(stream, { headers: { 'content-length': String(file.size) } }));
      } catch (refusal) {
        signal?.throwIfAborted();
        // Of a stream that fails browsers say "network error", and not why.
        const error = failure() ?? refusal;
        if (error instanceof HttpStatusError) throw withAdvice(error, this.id, this.where, this.settings.token);
        if (FileError.isInstance(error)) throw error;
        throw new FileError(url, `cannot be kept in this browser: ${(error as Error).message}; free some space and run again`, { cause: error });
      }
    }
    meter.finish();
  }

  /** Where the commit of a revision is kept: an address that no file has. */
  get #ref(): string {
    return `${this.where}/refs/${encodeURIComponent(this.id.revision)}`;
  }
}

/** The same bytes, and an error instead of their end when their hash is wrong. */
async function* checked(file: HubFile, url: string, bytes: AsyncIterable<Uint8Array>, meter: ProgressMeter): AsyncGenerator<Uint8Array> {
  const isGit = file.hash.length === 40;
  const hash = new Sha256();
  // Small files have a hash of git's, which browsers compute of the whole.
  const whole: BlobPart[] = isGit ? [`blob ${file.size}\0`] : [];
  for await (const chunk of bytes) {
    if (isGit) whole.push(chunk.slice());
    else hash.update(chunk);
    meter.add(chunk.length);
    yield chunk;
  }
  const found = isGit ? await sha1(new Blob(whole)) : hash.digest();
  if (found !== file.hash) throw wrongContent(url, file);
}

async function sha1(content: Blob): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-1', await content.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @returns the stream, and what it failed with, if it has */
function streamOf(bytes: AsyncGenerator<Uint8Array>): { stream: ReadableStream<Uint8Array>; failure: () => unknown } {
  let failure: unknown;
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await bytes.next();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (error) {
        failure = error;
        throw error;
      }
    },
    async cancel() {
      await bytes.return(undefined);
    },
  });
  return { stream, failure: () => failure };
}
