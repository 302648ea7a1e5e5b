import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.svg': 'image/svg+xml', '.wasm': 'application/wasm',
};

/** A plain server of files: no headers but the type, no ranges, no compression. */
export class StaticServer {
  readonly #server: Server;

  /**
   * @param folder what is served
   * @param prefix under which path, such as `/some/folder/`
   * @param headers sent with every file
   */
  constructor(folder: string, readonly prefix: string, headers: Readonly<Record<string, string>> = {}) {
    this.#server = createServer((request, response) => {
      const path = new URL(request.url!, 'http://localhost').pathname;
      const name = path.startsWith(prefix) ? normalize(decodeURIComponent(path.slice(prefix.length)) || 'index.html') : '..';
      const missing = () => void response.writeHead(404).end();
      if (name.startsWith('..')) return missing();
      readFile(join(folder, name)).then(
        (body) => response.writeHead(200, { 'content-type': types[extname(name)] ?? 'application/octet-stream', ...headers }).end(body),
        missing,
      );
    });
  }

  /** @returns the address of the page */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.prefix}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
