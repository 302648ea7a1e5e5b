import { ArgumentError, FileError } from '@mixsga/backend';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request as httpRequest, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { downloadModel } from './snapshot';
import { HubServer, HUB_VARIABLES } from './testing/hub-server';

const text = (content: string) => new TextEncoder().encode(content);
const files = new Map([
  ['config.json', text('{"model_type": "opt"}')],
  ['tokenizer.json', text('{"model": {}}')],
  ['model.safetensors', text('w'.repeat(50_000))],
]);

let home: string;
let hub: HubServer;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'mixsga-hub-'));
  for (const name of HUB_VARIABLES) vi.stubEnv(name, undefined);
  vi.stubEnv('HF_HOME', home);
  hub = new HubServer(files);
  await hub.start();
  vi.stubEnv('HF_ENDPOINT', hub.endpoint);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.stop();
  await rm(home, { recursive: true });
});

describe('a proxy', () => {
  let proxy: Server;
  /** The targets of its requests, as it got them. */
  let asked: string[];
  let tunnels: { destroy(): unknown }[];

  beforeEach(async () => {
    asked = [];
    tunnels = [];
    proxy = createServer((incoming, outgoing) => {
      asked.push(incoming.url!);
      const forwarded = httpRequest(incoming.url!, { headers: incoming.headers }, (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
      });
      incoming.pipe(forwarded);
    });
    proxy.on('connect', (incoming, socket) => {
      asked.push(incoming.url!);
      const [host, port] = incoming.url!.split(':') as [string, string];
      if (host.endsWith('.invalid')) return void socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
      const target = connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        target.pipe(socket).pipe(target);
      });
      tunnels.push(socket, target);
      for (const end of [socket, target]) end.on('error', () => [socket, target].forEach((each) => each.destroy()));
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    proxy.closeAllConnections();
    for (const tunnel of tunnels) tunnel.destroy();
    await new Promise((resolve) => proxy.close(resolve));
  });
  const address = () => `127.0.0.1:${(proxy.address() as AddressInfo).port}`;

  it.each(['HTTP_PROXY', 'http_proxy'])('takes what %s sends through it, redirects too', async (name) => {
    vi.stubEnv(name, `http://user:secret@${address()}`);
    const { names } = await downloadModel('org/tiny');
    expect([...names].sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    const hosts = new Set(asked.map((target) => target.replace(/^http:\/\//, '').split('/')[0]));
    expect(hosts.size).toBe(2); // the hub and its CDN
    expect(hosts).toContain(new URL(hub.endpoint).host);
  });

  it('takes https by HTTPS_PROXY, and its refusal is one line without the password', async () => {
    vi.stubEnv('HTTPS_PROXY', `http://user:secret@${address()}`);
    vi.stubEnv('HF_ENDPOINT', 'https://hub.invalid');
    const error: unknown = await downloadModel('org/tiny').catch((e: unknown) => e);
    expect(asked).toEqual(['hub.invalid:443']);
    expect(error).toBeInstanceOf(FileError);
    expect((error as Error).message).toMatch(/^https:\/\/hub\.invalid\/org\/tiny: cannot be reached: .*502.*; check the connection/);
    expect((error as Error).message).not.toMatch(/\n|secret/);
  });

  it('is passed by for the hosts of NO_PROXY', async () => {
    vi.stubEnv('HTTP_PROXY', `http://${address()}`);
    vi.stubEnv('NO_PROXY', 'example.com,127.0.0.1');
    await downloadModel('org/tiny');
    expect(asked).toEqual([]);
  });

  it.each(['not an address', 'socks5://user:secret@127.0.0.1:1'])('%s is refused by the name of its variable', async (value) => {
    vi.stubEnv('https_proxy', value);
    const error: unknown = await downloadModel('org/tiny').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ArgumentError);
    expect((error as Error).message).toBe(
      'https_proxy: expected the address of an HTTP proxy, such as http://proxy.example:3128, got another; correct or unset it',
    );
  });
});

describe('a silent server', () => {
  const impatient = { timeoutMs: 200 };

  it('that lists nothing is reported, and the cache is used where it has the model', async () => {
    hub.silent = { at: 'hub', after: 0 };
    await expect(downloadModel('org/tiny', { hub: impatient })).rejects.toThrow(
      /\/org\/tiny: expected an answer, and nothing came for 0.2 s; check the connection and the proxy \(HTTPS_PROXY, NO_PROXY\), and run again$/,
    );
    hub.silent = null;
    const { where } = await downloadModel('org/tiny');
    hub.silent = { at: 'hub', after: 0 };
    expect((await downloadModel('org/tiny', { hub: impatient })).where).toBe(where);
  });

  it('that does not answer for a file is reported at once, not tried again', async () => {
    hub.silent = { at: 'cdn', after: 0 };
    await expect(downloadModel('org/tiny', { hub: impatient })).rejects.toThrow(/expected an answer, and nothing came for 0.2 s/);
    expect(hub.requests.filter(({ at }) => at === 'cdn').length).toBe(1);
  });

  it('in the midst of a file is connected to again from the byte that was reached', async () => {
    hub.silent = { at: 'cdn', after: 10_000 };
    const download = downloadModel('org/tiny', { hub: impatient });
    await vi.waitFor(() => expect(hub.requests.filter(({ at }) => at === 'cdn').length).toBe(2), { timeout: 30_000 });
    hub.silent = null;
    await download;
    const ranges = hub.requests.filter(({ at }) => at === 'cdn').map(({ range }) => range);
    expect(ranges.slice(0, 2)).toEqual(['bytes=0-49999', 'bytes=10000-49999']);
  });

  it('is waited for as long as HF_HUB_DOWNLOAD_TIMEOUT says', async () => {
    vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', '0.1');
    hub.silent = { at: 'hub', after: 0 };
    await expect(downloadModel('org/tiny')).rejects.toThrow('nothing came for 0.1 s');
    vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', 'soon');
    await expect(downloadModel('org/tiny')).rejects.toThrow('HF_HUB_DOWNLOAD_TIMEOUT: expected a number of seconds above 0, got "soon"; correct or unset it');
  });
});
