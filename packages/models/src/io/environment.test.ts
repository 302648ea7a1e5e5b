import { ArgumentError } from '@mixsga/backend';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { environmentFetch, isNode } from './environment';

const VARIABLES = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'];

beforeEach(() => {
  for (const name of VARIABLES) vi.stubEnv(name, undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
});

describe('environmentFetch', () => {
  it('is that of the system where no proxy is named', async () => {
    expect(isNode()).toBe(true);
    expect(await environmentFetch()).toBe(fetch);
    vi.stubEnv('HTTPS_PROXY', '  ');
    expect(await environmentFetch()).toBe(fetch);
  });

  it.each(VARIABLES)('is another by %s, the same until the variable changes', async (name) => {
    vi.stubEnv(name, ' http://127.0.0.1:9 ');
    const proxied = await environmentFetch();
    expect(proxied).not.toBe(fetch);
    expect(await environmentFetch()).toBe(proxied);
    vi.stubEnv(name, 'https://127.0.0.1:9');
    const other = await environmentFetch();
    expect([fetch, proxied]).not.toContain(other);
    vi.stubEnv(name, undefined);
    expect(await environmentFetch()).toBe(fetch);
  });

  it('names the variable that is wrong, and not its value', async () => {
    for (const name of VARIABLES) {
      for (const value of ['x', 'ftp://user:secret@127.0.0.1', 'user:secret@127.0.0.1:1']) {
        vi.stubEnv(name, value);
        await expect(environmentFetch()).rejects.toEqual(
          new ArgumentError(`${name}: expected the address of an HTTP proxy, such as http://proxy.example:3128, got another; correct or unset it`),
        );
      }
      vi.stubEnv(name, undefined);
    }
  });

  it('leaves proxies to a browser', async () => {
    vi.stubEnv('HTTP_PROXY', 'x');
    for (const other of [undefined, {}, { versions: {} }]) {
      vi.stubGlobal('process', other);
      const found = await environmentFetch();
      const node = isNode();
      vi.unstubAllGlobals();
      expect([found, node]).toEqual([fetch, false]);
    }
  });
});
