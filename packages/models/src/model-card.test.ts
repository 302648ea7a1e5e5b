import { describe, expect, it } from 'vitest';
import { modelCard } from './model-card';
import { tinyConfig } from './testing/tiny-models';

describe('modelCard', () => {
  const opt = tinyConfig('opt', 'mixsga:3:1:6');

  it('names what the model was made from and what was done', () => {
    const card = modelCard(opt, { source: 'facebook/opt-125m@main', tokens: 1234567 });
    expect(card).toMatch(/^---\nlicense: unknown\nlibrary_name: mixsga\npipeline_tag: text-generation\nbase_model: facebook\/opt-125m\ntags:\n- mixsga\n- opt\n---\n/);
    expect(card).toContain('- Training: 1,234,567 tokens');
    expect(card).toContain('- Made from: facebook/opt-125m, whose license applies');
    expect(card).toContain('% of the KV cache');
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
});
