import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { familyOf, parseModelConfig } from '../families/index';
import { configText } from './write';

/** Lines of a JSON text that give a float, trimmed, without a comma, at any depth. */
const floats = (text: string) => [...text.matchAll(/"(\w+)": (-?\d+\.\d+(?:e-?\d+)?|-?\d+e-?\d+)/g)].map(([, key, value]) => `${key} ${Number(value)}`);

describe('configText', () => {
  it('writes as floats what is a float in transformers, and no other number', () => {
    const text = configText({
      rope_theta: 10000, rope_local_base_freq: 500, rms_norm_eps: 1e-6, sliding_window: 5, final_logit_softcapping: 30, attn_logit_softcapping: null,
      rope_scaling: { factor: 8, original_max_position_embeddings: 32 }, note: '\n "rope_theta": 1',
    });
    expect(floats(text)).toEqual(['rope_theta 10000', 'rope_local_base_freq 500', 'rms_norm_eps 0.000001', 'final_logit_softcapping 30', 'factor 8']);
    expect(text).toContain('"sliding_window": 5,');
    expect(JSON.parse(text)).toMatchObject({ final_logit_softcapping: 30, note: '\n "rope_theta": 1' });
  });

  it('writes the floats of a config of transformers as it had them', async () => {
    const folder = new URL('../fixtures/configs/', import.meta.url);
    const names = await readdir(folder);
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) {
      const text = await readFile(new URL(name, folder), 'utf8');
      // transformers 5 has the base of layers that slide in an object of theirs.
      const before = text.replace(/("sliding_attention": \{[^}]*)"rope_theta": 1000\.0/, '$1"rope_local_base_freq": 1000.0');
      const config = parseModelConfig(JSON.parse(text), name);
      const after = floats(configText(familyOf(config).toJson(config)));
      const own = new Set(after.map((line) => line.split(' ')[0]));
      // Some are not kept: rates of dropout, settings of sampling.
      expect(after.sort(), name).toEqual(floats(before).filter((line) => own.has(line.split(' ')[0])).sort());
      expect(own.has('rope_theta') || own.has('init_std'), name).toBe(true);
    }
  });
});
