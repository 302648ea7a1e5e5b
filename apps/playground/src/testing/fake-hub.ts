import { createHash } from 'node:crypto';
import type { BrowserContext, Route } from 'playwright-core';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const headers = { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*' };

/** A hub instead of huggingface.co, with one model, `org/tiny`. */
export class FakeHub {
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  /** Whether files that are no JSON never come. */
  stalls = false;
  /** Whether there is no connection. */
  offline = false;
  /** Whether the last byte of each file that is no JSON is another than it should be. */
  damages = false;

  constructor(readonly files: ReadonlyMap<string, Buffer>) {}

  async answerIn(context: BrowserContext): Promise<void> {
    await context.route('https://huggingface.co/**', (route) => this.#answer(route));
  }

  async #answer(route: Route): Promise<void> {
    const { pathname } = new URL(route.request().url());
    this.asked.push(pathname);
    if (this.offline) return route.abort('internetdisconnected');
    const json = (value: unknown) => route.fulfill({ status: 200, headers, contentType: 'application/json', body: JSON.stringify(value) });
    if (pathname === '/api/models/org/tiny/revision/main') {
      return json({ _id: '1', id: 'org/tiny', sha: COMMIT, lastModified: '2026-01-01T00:00:00.000Z' });
    }
    if (pathname === `/api/models/org/tiny/tree/${COMMIT}`) return json([...this.files].map(([path, content]) => ({ type: 'file', path, size: content.length, oid: gitHash(content) })));
    const name = pathname.split(`/org/tiny/resolve/${COMMIT}/`)[1];
    const body = name === undefined ? undefined : this.files.get(name);
    if (!body) return route.fulfill({ status: 404, headers, body: '{"error":"Not found"}' });
    if (!this.stalls || name!.endsWith('.json')) await route.fulfill({ status: 200, headers, body: this.damages && !name!.endsWith('.json') ? damaged(body) : body });
  }
}

function damaged(content: Buffer): Buffer {
  const other = Buffer.from(content);
  other[other.length - 1]! ^= 1;
  return other;
}

function gitHash(content: Buffer): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}
