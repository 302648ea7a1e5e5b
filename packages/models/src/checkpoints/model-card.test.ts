import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cardFile, modelCard } from './model-card';
import { tinyConfig } from '../testing/tiny-models';

const opt = tinyConfig('opt', 'mixsga:3:1:6');

describe('modelCard', () => {
  it('names what the model was made from and what was done', () => {
    const card = modelCard(opt, { source: 'facebook/opt-125m@main', tokens: 1234567 });
    expect(card).toMatch(/^---\nlicense: unknown\nlibrary_name: mixsga\npipeline_tag: text-generation\nbase_model: facebook\/opt-125m\ntags:\n- mixsga\n- opt\n---\n/);
    expect(card).toContain('- Training: 1,234,567 tokens');
    expect(card).toContain('- Made from: facebook/opt-125m, whose license applies');
    expect(card).not.toContain('transformers');
  });

  it('does not give away the name of a folder', () => {
    const card = modelCard(tinyConfig('opt', 'mha'), { source: '/home/me/secret' });
    expect(card).not.toMatch(/secret|base_model/);
    expect(card).toContain('- Training: none since the conversion');
    expect(card).toContain('transformers loads too');
    expect(modelCard(opt, { source: 'sotu-mini' })).toContain('- Made from: sotu-mini\n');
    expect(modelCard(opt, { tokens: 5 })).toContain('- Made from: random weights\n');
  });

  it.each([
    ['mha', '100'], ['mixsga:3:1:6', '50'], // 0.3 + 0.1 / 2 + 0.6 / 4
    ['mixsga:1:1:1', '58.3'], ['gqa:8', '12.5'], ['mixsga:1:0:12', '30.8'],
  ])('says what share of the KV cache %s has, in three digits', (attention, share) => {
    expect(modelCard(tinyConfig('opt', attention), {})).toContain(`- Attention: \`${attention}\`, ${share} % of the KV cache of the unmodified model\n`);
  });

  it('says that heads were aligned only where they were', () => {
    const line = '- Heads were aligned before they were grouped\n';
    expect(modelCard(opt, {})).not.toContain(line);
    expect(modelCard({ ...opt, mixsga: { ...opt.mixsga!, align: true } }, {})).toContain(line);
  });
});

describe('cardFile', () => {
  let folder: string;
  beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-card-'))));
  afterEach(() => rm(folder, { recursive: true }));

  it('takes the place of a card of ours, and of no other file', async () => {
    const card = () => cardFile(folder, opt, { source: 'facebook/opt-125m' });
    const expected = new Map([['README.md', modelCard(opt, { source: 'facebook/opt-125m' })]]);
    expect(await card()).toEqual(expected);
    await writeFile(join(folder, 'README.md'), [...expected.values()][0]!);
    expect(await card()).toEqual(expected);
    await writeFile(join(folder, 'README.md'), '');
    expect(await card()).toEqual(expected);
    await writeFile(join(folder, 'README.md'), '# What I found out');
    expect(await card()).toEqual(new Map());
  });

  it('knows a folder from an id of the hub that is like its path', async () => {
    const before = process.cwd();
    await mkdir(join(folder, 'me', 'secret'), { recursive: true });
    process.chdir(folder);
    try {
      const text = async (source: string) => (await cardFile(folder, opt, { source, tokens: 7 })).get('README.md')!;
      expect(await text('me/secret')).not.toMatch(/secret|base_model/);
      expect(await text('me/secret')).toContain('- Made from: a model in a folder\n');
      expect(await text('me/other')).toContain('base_model: me/other\n');
      expect(await text('me/other')).toContain('- Training: 7 tokens\n');
    } finally {
      process.chdir(before);
    }
  });
});
