// Whether the page lets go of what a run took.
import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { expect } from 'vitest';
import { ended, generate } from './page';

interface Taken {
  readonly nodes: number;
  /** Bytes of the page's scripts. */
  readonly heap: number;
  /** Resident bytes of the browser's renderers, in which the worker's memory is. */
  readonly resident: number;
}

/** What some runs of a page that compares two variants add. As many are made before them, until the engine's own heaps have what they need. */
export async function growth(browser: Browser, page: Page, runs: number): Promise<Taken> {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const measured = async (): Promise<Taken> => {
    for (let i = 0; i < runs; i++) {
      await generate(page);
      await ended(page, 2);
    }
    await session.send('HeapProfiler.collectGarbage');
    const { metrics } = await session.send('Performance.getMetrics');
    const value = (name: string) => metrics.find((metric) => metric.name === name)!.value;
    return { nodes: value('Nodes'), heap: value('JSHeapUsedSize'), resident: await renderers(browser) };
  };
  const before = await measured();
  const after = await measured();
  return { nodes: after.nodes - before.nodes, heap: after.heap - before.heap, resident: after.resident - before.resident };
}

/** A run that leaves its model adds 4 MB. */
export function expectKept({ nodes, heap, resident }: Taken, runs: number): void {
  process.stdout.write(`${runs} runs: page heap ${(heap / 1e6).toFixed(1)} MB, renderer ${(resident / 1e6).toFixed(1)} MB\n`);
  expect(nodes).toBeLessThan(100);
  expect(heap).toBeLessThan(2e6);
  expect(resident).toBeLessThan(40e6);
}

async function renderers(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const sizes = await Promise.all(
    processInfo.filter(({ type }) => type === 'renderer').map(async ({ id }) => /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${id}/status`, 'utf8'))?.[1]),
  );
  return sizes.reduce((sum, kilobytes) => sum + 1024 * Number(kilobytes ?? 0), 0);
}
