import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { knownModels } from '@mixsga/models';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const list = 'docs/published-models.md';

/** Owners of models; others are found where a command names one of theirs. */
const owners =
  'facebook|meta-llama|google|allenai(?=/OLMo)|TinyLlama|HuggingFaceTB|huggyllama|mistralai|Qwen|EleutherAI|openai-community|princeton-nlp|unsloth|microsoft|NousResearch';
const named = new RegExp(`(?<![\\w/.-])((?:${owners})/[A-Za-z0-9][\\w.-]*\\w)`, 'g');
const ofCommand = /mixsga (?:generate|eval|inspect|convert|allocate|train|demo) ([A-Za-z][\w-]*\/[A-Za-z][\w.-]*)/g;
/** What is not a model: software, data sets, our presets and folders. */
const others = /^(google\/snappy|EleutherAI\/|laptop\/|paper\/|frontier\/|compare\/|out\/)/;

async function filesUnder(folder: string, ending: RegExp): Promise<string[]> {
  const names = await readdir(join(root, folder), { recursive: true });
  return names.filter((name) => ending.test(name) && !/node_modules|dist|CHANGELOG/.test(name)).map((name) => join(folder, name));
}

describe(list, () => {
  it('has a row for each model that the README, documents and presets name, and no other', async () => {
    const files = [
      'README.md', ...(await filesUnder('docs', /\.md$/)), ...(await filesUnder('packages/training/src/presets', /(?<!\.test)\.ts$/)),
      ...['backend', 'router', 'experts', 'kv-cache', 'models', 'evaluators', 'training', 'report', 'bench'].map((name) => `packages/${name}/README.md`),
      'apps/trainer/README.md', 'apps/playground/README.md',
    ];
    const found = new Map<string, string>(Object.keys(knownModels).map((name) => [name, 'knownModels']));
    for (const file of files.filter((name) => name !== list)) {
      const text = await readFile(join(root, file), 'utf8');
      for (const pattern of [named, ofCommand]) {
        for (const [, name] of text.matchAll(pattern)) if (!others.test(name!)) found.set(name!, file);
      }
    }
    const rows = [...(await readFile(join(root, list), 'utf8')).matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name!);
    expect(found.size).toBeGreaterThan(8);
    expect([...found].filter(([name]) => !rows.includes(name))).toEqual([]);
    expect(rows.filter((name) => !found.has(name))).toEqual([]);
    expect(new Set(rows).size).toBe(rows.length);
  });
});
