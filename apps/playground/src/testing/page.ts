// What the tests do with a page, and read from it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import type { Kept, ModelFacts } from '../protocol';
import type { Settings } from '../state/settings';

export const generate = (page: Page) => page.getByRole('button', { name: 'Generate' }).click();

/** Waits until a number of runs are shown, and all are over. */
export const ended = (page: Page, count = 1) =>
  page.waitForFunction(
    (runs) => {
      const articles = [...document.querySelectorAll<HTMLElement>('article.run')];
      return articles.length === runs && articles.every(({ dataset }) => ['done', 'stopped', 'failed'].includes(dataset.status!));
    },
    count,
    { timeout: 240_000 },
  );

/** What a run generated. */
export const textOf = (page: Page, run = 0) =>
  page.locator('article.run').nth(run).locator('.text .token:not(.of-prompt)').allTextContents().then((texts) => texts.join(''));

export const tokens = (page: Page) => page.locator('.text .token').count();

/** It changes a moment after a setting did. */
export const addressHas = (page: Page, part: string) => page.waitForURL(({ hash }) => hash.includes(part), { timeout: 5000 });

/** The part of an export that the tests read. */
export interface Exported {
  readonly settings: Settings;
  readonly model: ModelFacts;
  readonly runs: readonly {
    readonly attention: string;
    readonly kept: readonly Kept[];
    readonly cache: { readonly bytesUsed: number; readonly expertCounts: readonly number[]; readonly tokensSeen: number; readonly tokensKept: number };
    readonly tokens: readonly { readonly experts?: readonly number[]; readonly evictedFromLayers?: readonly number[]; readonly scores?: readonly (readonly number[])[] }[];
  }[];
}

/** What "Everything as JSON" saves; the pictures are saved too. */
export async function exported(page: Page): Promise<Exported> {
  await page.getByText('Export', { exact: true }).click();
  const save = async (name: string) => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name, exact: true }).click()]);
    return readFile(await download.path());
  };
  const json = JSON.parse((await save('Everything as JSON')).toString()) as Exported;
  expect((await save('Map of run 1 as SVG')).toString()).toMatch(/^<svg xmlns=[\s\S]*<\/svg>\n$/);
  expect((await save('Text of run 1 as PNG')).subarray(1, 4).toString()).toBe('PNG');
  await page.getByText('Export', { exact: true }).click();
  return json;
}

/** The bytes that the meter of the first run shows. */
export async function meter(page: Page): Promise<{ mha: number; gqa: number; own: number }> {
  const [mha, gqa, own] = await page.getByRole('meter').evaluateAll((meters) => meters.map((each) => Number(each.getAttribute('aria-valuenow'))));
  return { mha: mha!, gqa: gqa!, own: own! };
}

/** Drops files of a folder on the page, as a person does with a folder's content. */
export async function drop(page: Page, from: string, names: readonly string[]): Promise<void> {
  const files = await Promise.all(names.map(async (name) => ({ name, content: (await readFile(join(from, name))).toString('base64') })));
  const data = await page.evaluateHandle((given) => {
    const transfer = new DataTransfer();
    for (const { name, content } of given) transfer.items.add(new File([Uint8Array.from(atob(content), (character) => character.charCodeAt(0))], name));
    return transfer;
  }, files);
  await page.dispatchEvent('body', 'drop', { dataTransfer: data });
}

/** What axe finds wrong with a page as it is. */
export async function violations(page: Page): Promise<string[]> {
  const result = await page.evaluate(`${axe.source}; axe.run(document, { resultTypes: ['violations'] })`) as { violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] };
  return result.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`).join(' | ')}`);
}
