// The model that trains, against Hugging Face transformers.
import { startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { parseAttention } from '../attention/index';
import { parseOptConfig } from '../config/opt';
import { convertConfig, convertedSource } from '../convert';
import { OptModel } from '../opt/model';
import { parameterSpecs } from '../opt/parameters';
import { distance } from '../testing/decoding';
import { EVERY, type Fixture, readFixture } from './fixture';

async function modelOf({ config: json, source }: Fixture, attention: string): Promise<OptModel> {
  const published = parseOptConfig(json, 'config.json');
  const config = convertConfig(published, attention);
  const converted = convertedSource(published, source, attention);
  const names = parameterSpecs(config, parseAttention(attention)).map(({ name }) => name);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const router = `model.decoder.layers.${layer}.self_attn.router`;
    names.push(`${router}.weight`, `${router}.bias`);
  }
  const values = new Map<string, Float32Array>();
  for (const name of names) values.set(name, await converted.read(name));
  return new OptModel(config, values);
}

describe.each(['cpu', 'wasm'] as const)('OptModel on %s', (backend) => {
  it('has the logits of the reference at every position', async () => {
    await startBackend(backend);
    const fixture = await readFixture('opt');
    const expected = await fixture.reference('logits');
    const model = await modelOf(fixture, 'mha');
    const ids = tf.tensor2d([[...fixture.golden.prompt, ...fixture.golden.greedy]], undefined, 'int32');
    const logits = model.logits(ids, { routing: 'prefill' });
    const values = await logits.data();
    expected.forEach((row, t) => expect(distance(values.slice(t * row.length, (t + 1) * row.length), row)).toBeLessThan(1e-4));
    tf.dispose([ids, logits]);
    model.dispose();
  });

  it.each(['mixsga:3:1:6', 'gqa:2', 'cla:2'])('has those of %s, under both routings', async (attention) => {
    await startBackend(backend);
    const fixture = await readFixture('opt');
    const { prompt } = fixture.golden;
    const model = await modelOf(fixture, attention);
    const ids = tf.tensor2d([[...prompt]], undefined, 'int32');
    const prefill = model.logits(ids, { routing: 'prefill' });
    const decode = model.logits(ids, { routing: 'decode' });
    const [together, alone] = [await prefill.data(), await decode.data()];
    const width = model.config.vocab_size;
    expect(distance(together.slice(-width), (await fixture.reference(`${attention}/prefill`))[0]!)).toBeLessThan(1e-4);
    const expected = await fixture.reference(`${attention}/decode`);
    for (let t = EVERY - 1, i = 0; t < prompt.length; t += EVERY, i++) {
      expect(distance(alone.slice(t * width, (t + 1) * width), expected[i]!)).toBeLessThan(1e-4);
    }
    tf.dispose([ids, prefill, decode]);
    model.dispose();
  });
});
