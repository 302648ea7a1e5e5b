import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const COMMIT = '0123456789abcdef0123456789abcdef01234567';
/** Variables of the environment that a test of the hub clears. */
export const HUB_VARIABLES = [
  ...['HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'HF_TOKEN', 'HF_TOKEN_PATH', 'HF_HUB_DISABLE_IMPLICIT_TOKEN', 'HF_HUB_OFFLINE'],
  ...['HF_HUB_DOWNLOAD_TIMEOUT', 'HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy'],
];
/** From this size on a file is stored by its SHA-256 and served by the CDN. */
const LARGE = 1000;

const sha256 = (content: Uint8Array) => createHash('sha256').update(content).digest('hex');
const gitHash = (content: Uint8Array) => createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');

/** The name of a file's content in the cache. */
export const hashOf = (content: Uint8Array) => (content.length >= LARGE ? sha256 : gitHash)(content);

/** What a request was, for assertions. */
export interface Seen {
  readonly at: 'hub' | 'cdn';
  readonly path: string;
  readonly range: string | undefined;
  readonly token: string | undefined;
}

/** A hub with one model or data set, whose large files a second server on another port serves, as a CDN does. */
export class HubServer {
  readonly requests: Seen[] = [];
  /** The token without which the hub answers 401. */
  requiredToken: string | null = null;
  /** Whether it lists files to everybody, as it does those of gated models. */
  gated = false;
  /** Connections that end after a number of bytes, before one that does not. */
  cuts: number[] = [];
  /** A status instead of the file's content, for a number of requests. */
  failures: { status: number; times: number } | null = null;
  /** Whether the CDN answers ranges. */
  ranges = true;
  /** Sends other bytes than it lists. */
  corrupt = false;
  /** What the hub lists, when it lies. */
  listing: ((honest: object[]) => object[]) | null = null;
  /** Whether each page of the listing names another after it. */
  endless = false;
  /** Who takes requests and never answers, after a number of bytes of a file. */
  silent: { readonly at: 'hub' | 'cdn'; readonly after: number } | null = null;
  readonly #servers: Server[] = [];
  #endpoint = '';
  #cdn = '';

  constructor(
    readonly files: ReadonlyMap<string, Uint8Array>,
    readonly kind: 'model' | 'dataset' = 'model',
    readonly name = 'org/tiny',
  ) {}

  get endpoint(): string {
    return this.#endpoint;
  }

  async start(): Promise<void> {
    this.#endpoint = await this.#listen((request, response) => this.#hub(request, response));
    this.#cdn = await this.#listen((request, response) => this.#content(request, response, 'cdn'));
  }

  async stop(): Promise<void> {
    for (const server of this.#servers.splice(0)) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  async #listen(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
    const server = createServer(handler);
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  #hub(request: IncomingMessage, response: ServerResponse): void {
    if (this.silent?.at === 'hub') return this.#see(request, 'hub');
    const url = new URL(request.url!, this.#endpoint);
    const api = `/api/${this.kind}s/${this.name}`;
    const [, revision] = new RegExp(`^${api}/revision/([^/]+)$`).exec(url.pathname) ?? [];
    const isKnown = revision === 'main' || revision === 'v1' || revision === COMMIT;
    const open = this.gated && url.pathname.startsWith('/api/');
    if (this.requiredToken !== null && !open && request.headers.authorization !== `Bearer ${this.requiredToken}`) {
      this.#see(request, 'hub');
      return void response.writeHead(401).end('{"error":"Repository not found"}');
    }
    if (revision !== undefined && isKnown) {
      this.#see(request, 'hub');
      return json(response, { _id: '1', id: this.name, sha: COMMIT, lastModified: '2024-01-01T00:00:00.000Z' });
    }
    if (url.pathname === `${api}/tree/${COMMIT}`) {
      this.#see(request, 'hub');
      if (this.endless) response.setHeader('link', `<${this.#endpoint}${url.pathname}?cursor=next>; rel="next"`);
      return json(response, (this.listing ?? ((honest) => honest))(this.#tree(url.searchParams.get('recursive') === 'true')));
    }
    const [, name] = new RegExp(`^${this.kind === 'dataset' ? '/datasets' : ''}/${this.name}/resolve/${COMMIT}/(.+)$`).exec(url.pathname) ?? [];
    const content = name === undefined ? undefined : this.files.get(decodeURIComponent(name));
    if (content && content.length >= LARGE) {
      this.#see(request, 'hub');
      return void response.writeHead(302, { location: `${this.#cdn}/${name}?signature=secret` }).end();
    }
    if (content) return this.#content(request, response, 'hub');
    this.#see(request, 'hub');
    response.writeHead(404).end('{"error":"Not found"}');
  }

  #tree(recursive: boolean): object[] {
    return [...this.files].filter(([path]) => recursive || !path.includes('/')).map(([path, content]) => ({
      ...{ type: 'file', path, size: content.length, oid: gitHash(content) },
      ...(content.length >= LARGE ? { oid: gitHash(new Uint8Array()), lfs: { oid: sha256(content), size: content.length, pointerSize: 130 } } : {}),
    }));
  }

  #content(request: IncomingMessage, response: ServerResponse, at: 'hub' | 'cdn'): void {
    this.#see(request, at);
    if (this.failures && this.failures.times-- > 0) return void response.writeHead(this.failures.status).end();
    const address = decodeURIComponent(new URL(request.url!, this.#cdn).pathname);
    if (at === this.silent?.at && this.silent.after === 0) return;
    const content = Buffer.from(this.files.get(address.slice(1)) ?? this.files.get(address.split(`/resolve/${COMMIT}/`)[1]!)!);
    if (this.corrupt && at === 'cdn') content[content.length - 1]! ^= 1;
    const range = this.ranges ? /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') : null;
    const [begin, end] = range ? [Number(range[1]), Math.min(Number(range[2]) + 1, content.length)] : [0, content.length];
    const part = content.subarray(begin, end);
    response.writeHead(range ? 206 : 200, {
      'content-length': part.length,
      ...(range ? { 'content-range': `bytes ${begin}-${end - 1}/${content.length}` } : {}),
    });
    if (at === this.silent?.at) return void response.write(part.subarray(0, this.silent.after));
    const cut = at === 'cdn' ? this.cuts.shift() : undefined;
    if (cut === undefined) return void response.end(part);
    response.write(part.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
  }

  #see(request: IncomingMessage, at: 'hub' | 'cdn'): void {
    this.requests.push({
      ...{ at, path: request.url!, range: request.headers.range },
      token: request.headers.authorization,
    });
  }
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}
