// The cache of Python's huggingface_hub (Node): {models,datasets}--organisation--name/{blobs,snapshots,refs}.
import type { Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { isOld, removeLeftovers, replaceAtomic, writeFileAtomic } from '../io/atomic';
import { openFile } from '../io/byte-source';
import type { CheckpointFiles } from '../io/checkpoint-files';
import { asFileError, makeFolder } from '../io/fs';
import { fetchRange, HttpStatusError, type HttpOptions } from '../io/http';
import { isCommit, wrongContent, type ModelCache } from './cache';
import type { ProgressMeter } from './progress';
import { fileUrl, repositoryUrl, withAdvice, type HubFile, type HubId } from './repository';
import type { HubSettings } from './settings';

/** Ending of a file that is not whole. */
const PARTIAL = '.mixsga.incomplete';

export class FolderCache implements ModelCache {
  readonly where: string;

  constructor(
    private readonly id: HubId,
    private readonly settings: HubSettings,
  ) {
    this.where = `${settings.cache}/${id.kind ?? 'model'}s--${id.name.replace('/', '--')}`;
  }

  async commit(): Promise<string | null> {
    const { readFile } = await import('node:fs/promises');
    const { revision } = this.id;
    if (isCommit(revision)) return revision;
    const commit = (await readFile(`${this.where}/refs/${revision}`, 'utf8').catch(() => '')).trim();
    return isCommit(commit) ? commit : null;
  }

  async setCommit(commit: string): Promise<void> {
    if (this.id.revision !== commit) await writeFileAtomic(`${this.where}/refs/${this.id.revision}`, commit);
    await this.#removeLeftovers();
  }

  /** What earlier processes that ended left: links in snapshots, and parts of files that nobody has gone on with for a day. */
  async #removeLeftovers(): Promise<void> {
    const { readdir, rm } = await import('node:fs/promises');
    const namesIn = (folder: string) => readdir(folder).catch((): string[] => []);
    for (const commit of await namesIn(`${this.where}/snapshots`)) await removeLeftovers(`${this.where}/snapshots/${commit}`);
    for (const name of await namesIn(`${this.where}/blobs`)) {
      const path = `${this.where}/blobs/${name}`;
      if (name.endsWith(PARTIAL) && (await isOld(path))) await rm(path, { force: true }).catch(() => undefined);
    }
  }

  async files(commit: string): Promise<CheckpointFiles> {
    const { readdir, stat } = await import('node:fs/promises');
    const where = `${this.where}/snapshots/${commit}`;
    const path = (name: string) => `${where}/${name}`;
    const names = await readdir(where, { recursive: true }).catch(() => []);
    // A link to a blob that is gone counts as none.
    const here = await Promise.all(names.map(async (name) => (await stat(path(name)).catch(() => null))?.isFile() === true));
    return { where, names: names.filter((_, i) => here[i]), path, open: (name) => openFile(path(name)) };
  }

  async fetch(file: HubFile, commit: string, meter: ProgressMeter, signal: AbortSignal | undefined): Promise<void> {
    const { stat } = await import('node:fs/promises');
    const blob = `${this.where}/blobs/${file.hash}`;
    const sizeHere = async () => (await stat(blob).catch(() => null))?.size;
    try {
      await makeFolder(`${this.where}/blobs`);
      await makeFolder(`${this.where}/snapshots/${commit}`);
    } catch (error) {
      throw asFileError(this.where, error, 'write');
    }
    meter.start(file.path, file.size, 0);
    if ((await sizeHere()) !== file.size) {
      await this.#download(file, commit, blob, meter, signal).catch(async (error: unknown) => {
        // Another process may have been first.
        if (signal?.aborted || (await sizeHere()) !== file.size) throw error;
      });
    }
    meter.finish();
    await this.#link(file, commit, blob);
  }

  async #download(file: HubFile, commit: string, blob: string, meter: ProgressMeter, signal: AbortSignal | undefined): Promise<void> {
    const { rename, rm } = await import('node:fs/promises');
    const { token, timeoutMs } = this.settings;
    const url = fileUrl(this.id, commit, file.path, this.settings);
    // Beside Python's <hash>.incomplete, to which another process may be appending. Bytes are written at their places, so that
    // two processes that fetch the same file write the same.
    const partial = `${blob}${PARTIAL}`;
    try {
      for (;;) {
        const { begun, sound } = await fill(partial, file, url, meter, { token, timeoutMs, signal });
        if (sound) return await rename(partial, blob);
        await rm(partial, { force: true });
        // What an earlier run left may have been the wrong part: once more from the start.
        if (begun === 0) throw wrongContent(url, file);
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof HttpStatusError) throw withAdvice(error, this.id, repositoryUrl(this.id, this.settings), token);
      throw asFileError(partial, error, 'write');
    }
  }

  /** A relative link to the blob, or where the system has none, the same file under a second name. */
  async #link(file: HubFile, commit: string, blob: string): Promise<void> {
    const { copyFile, link, symlink } = await import('node:fs/promises');
    const folders = file.path.split('/').length - 1;
    await replaceAtomic(`${this.where}/snapshots/${commit}/${file.path}`, (temporary) =>
      symlink(`${'../'.repeat(2 + folders)}blobs/${file.hash}`, temporary)
        .catch(() => link(blob, temporary))
        .catch(() => copyFile(blob, temporary)),
    );
  }
}

/**
 * Completes a partial file.
 * @returns how many bytes were there before, and whether the whole has the right hash
 */
async function fill(
  partial: string, file: HubFile, url: string, meter: ProgressMeter, options: HttpOptions,
): Promise<{ begun: number; sound: boolean }> {
  const { open } = await import('node:fs/promises');
  const target = await open(partial, 'r+').catch(() => open(partial, 'w+'));
  try {
    const hash = await hashOf(file);
    const begun = Math.min((await target.stat()).size, file.size);
    await addBytes(hash, target, begun);
    meter.start(file.path, file.size, begun);
    let at = begun;
    for await (const chunk of fetchRange(url, begun, file.size, options)) {
      for (let done = 0; done < chunk.length; ) done += (await target.write(chunk, done, chunk.length - done, at + done)).bytesWritten;
      hash.update(chunk);
      at += chunk.length;
      meter.add(chunk.length);
    }
    await target.truncate(file.size);
    await target.sync();
    return { begun, sound: hash.digest('hex') === file.hash };
  } finally {
    await target.close();
  }
}

/** The hash by which the hub names a file. */
async function hashOf({ hash, size }: HubFile): Promise<Hash> {
  const { createHash } = await import('node:crypto');
  return hash.length === 40 ? createHash('sha1').update(`blob ${size}\0`) : createHash('sha256');
}

async function addBytes(hash: Hash, file: FileHandle, bytes: number): Promise<void> {
  const buffer = new Uint8Array(2 ** 20);
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, bytes - at), at);
    if (bytesRead === 0) return;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}
