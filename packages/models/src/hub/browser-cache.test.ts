import { FileError } from '@mixsga/backend';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BrowserCache } from './browser-cache';
import { hubSettings } from './settings';
import { Sha256 } from './sha256';
import { fetchModel } from './snapshot';
import { HubServer } from './testing/hub-server';

const weights = Uint8Array.from({ length: 200_000 }, (_, i) => i * i);
const files = new Map([
  ['config.json', new TextEncoder().encode('{}')],
  ['tokenizer.json', new TextEncoder().encode('{}')],
  ['model.safetensors', weights],
]);

/** What a browser's cache does with an entry: it takes the whole stream, or nothing, and does not say with what the stream failed. */
class FakeCache {
  readonly #entries = new Map<string, Blob>();

  async put(url: string, response: Response): Promise<void> {
    const blob = await response.blob().catch(() => {
      throw new TypeError("Failed to execute 'put' on 'Cache': Cache.put() encountered a network error");
    });
    this.#entries.set(url, blob);
  }

  async match(url: string): Promise<Response | undefined> {
    const blob = this.#entries.get(url);
    return blob && new Response(blob);
  }

  async keys(): Promise<{ url: string }[]> {
    return [...this.#entries.keys()].map((url) => ({ url }));
  }
}

let server: HubServer;
beforeEach(async () => {
  const cache = new FakeCache();
  vi.stubGlobal('caches', { open: async () => cache });
  server = new HubServer(files);
  await server.start();
});
afterEach(async () => {
  vi.unstubAllGlobals();
  await server.stop();
});

const fetchTiny = async (revision = 'main') => {
  const settings = await hubSettings({ endpoint: server.endpoint });
  const id = { name: 'org/tiny', revision };
  return fetchModel(id, new BrowserCache(id, settings), settings, {});
};

describe('BrowserCache', () => {
  it('keeps files by address, over a connection that is cut', async () => {
    server.cuts = [70_000];
    const { names, open } = await fetchTiny();
    expect([...names].sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    const source = await open('model.safetensors');
    const part = new Uint8Array(1000);
    await source.readInto(part, 150_000);
    expect(source.size).toBe(200_000);
    expect(part).toEqual(weights.slice(150_000, 151_000));
    server.requests.length = 0;
    await fetchTiny();
    expect(server.requests.filter(({ path }) => path.includes('resolve'))).toEqual([]);
  });

  it('goes on with what it has when the hub cannot be reached', async () => {
    await fetchTiny();
    await server.stop();
    expect((await fetchTiny()).names).toContain('model.safetensors');
  });

  it('keeps nothing of another hash', async () => {
    server.corrupt = true;
    await expect(fetchTiny()).rejects.toThrow(FileError);
    await expect(fetchTiny()).rejects.toThrow(/expected content of the hash .*, got another; nothing was kept/);
    server.corrupt = false;
    await fetchTiny();
  });

  it('says when the browser has no room', async () => {
    vi.spyOn(FakeCache.prototype, 'put').mockRejectedValue(new DOMException('Quota exceeded.', 'QuotaExceededError'));
    await expect(fetchTiny()).rejects.toThrow(/config\.json: cannot be kept in this browser: Quota exceeded\.; free some space and run again$/);
    vi.restoreAllMocks();
  });

  it('says where there is no such cache', async () => {
    vi.stubGlobal('caches', undefined);
    await expect(fetchTiny()).rejects.toThrow('expected the Cache API, which browsers have on https and localhost alone');
  });
});

describe('Sha256', () => {
  it('agrees with that of Node, in pieces of any size', () => {
    for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 1000]) {
      const bytes = Uint8Array.from({ length }, (_, i) => 7 * i + length);
      for (const piece of [1, 13, 64, 1000]) {
        const hash = new Sha256();
        for (let at = 0; at < length; at += piece) hash.update(bytes.subarray(at, at + piece));
        expect(hash.digest()).toBe(createHash('sha256').update(bytes).digest('hex'));
      }
    }
  });
});
