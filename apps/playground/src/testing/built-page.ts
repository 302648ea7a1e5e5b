// The page as it is built, on a plain file server, in Debian's chromium.
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { build } from 'vite';
import { expect } from 'vitest';
import { StaticServer } from './static-server';

export const CHROMIUM = '/usr/bin/chromium';
export const hasChromium = existsSync(CHROMIUM);
const app = fileURLToPath(new URL('../..', import.meta.url));
/** SwiftShader instead of a graphics card. */
const WEBGPU = ['--enable-unsafe-webgpu', '--enable-features=Vulkan', '--use-webgpu-adapter=swiftshader', '--use-vulkan=swiftshader'];

const NO_FRAMES = 'this page gets no frames';
/**
 * For tests of pages. Headless chromium at times gives a page no frame any more, though it is visible and its timers and worker go on: about one
 * in sixty here, as others found too (dknauss/Sudo, pull request 353). Only a new page helps. Such a page is closed, and its test begins again.
 */
export const RETRY = { retry: { count: 3, condition: /has been closed/ } };

export class BuiltPage {
  /** Errors and warnings of the console, uncaught errors, breaches of the content security policy, requests of other servers. */
  readonly complaints: string[] = [];

  private constructor(readonly folder: string, readonly browser: Browser, readonly address: string, private readonly server: StaticServer) {}

  static async start(): Promise<BuiltPage> {
    const folder = await mkdtemp(join(tmpdir(), 'mixsga-playground-'));
    await build({ configFile: join(app, 'vite.config.ts'), logLevel: 'error', build: { outDir: folder, emptyOutDir: true } });
    const server = new StaticServer(folder, '/some/folder/');
    const address = await server.start();
    return new BuiltPage(folder, await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', ...WEBGPU] }), address, server);
  }

  /** A page of its own, on which nothing may go wrong. */
  async open(fragment = '', options: BrowserContextOptions = {}, at = this.address): Promise<Page> {
    const context = await this.browser.newContext(options);
    const page = await context.newPage();
    const { complaints } = this;
    page.on('pageerror', (error) => void complaints.push(String(error)));
    page.on('console', (message) => void (message.text() === NO_FRAMES && context.close()));
    page.on('console', (message) => void (['error', 'warning'].includes(message.type()) && complaints.push(message.text())));
    page.on('request', (request) => void (/^(http:\/\/127|blob:)/.test(request.url()) || complaints.push(`asked for ${request.url()}`)));
    await page.addInitScript((noFrames) => {
      let last = performance.now();
      setInterval(() => requestAnimationFrame(() => (last = performance.now())), 2000);
      // eslint-disable-next-line no-console -- heard above
      setInterval(() => void (performance.now() - last > 30_000 && console.debug(noFrames)), 5000);
      addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => reportError(new Error(`policy: ${violatedDirective} ${blockedURI}`)));
    }, NO_FRAMES);
    await page.goto(`${at}#${fragment}`);
    return page;
  }

  /** Closes a page, with which all went well. */
  async closing(page: Page): Promise<void> {
    await page.context().close();
    expect(this.complaints.splice(0)).toEqual([]);
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await this.server.stop();
    await rm(this.folder, { recursive: true });
  }
}
