/**
 * The conformance suite of families of models: run every check of {@link familyChecks} on each backend that matters, in any test runner. A
 * check rejects with an Error that says what does not hold.
 */
import { ArgumentError, FileError, SeededRandom } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Scalar, Tensor, Tensor2D, Variable } from '@tensorflow/tfjs-core';
import { alignHeadValues } from '../align/align-heads';
import { parseAttention } from '../attention/index';
import { type ModelConfig, modelShape } from '../config/shape';
import { convertModel } from '../checkpoints/convert';
import { createDecoder } from '../decoder/create-decoder';
import { familyNamed, familyOf, parseModelConfig } from '../families/index';
import { createTrainable } from '../training/model';
import { distance, feed, inOnePass } from './decoding';
import { expectSame, expectThat, thrownBy } from './expectations';

export interface FamilyCheck {
  readonly name: string;
  /** Runs on the active tfjs backend. @param family the name of a registered one */
  run(family: string): Promise<void>;
}

/** What a check looks at: a small model with random weights. */
interface Setting {
  readonly config: ModelConfig;
  readonly values: ReadonlyMap<string, Float32Array>;
}

const SIZES = { vocabularySize: 40, layers: 2, hiddenSize: 32, heads: 8, kvHeads: 4, ffnSize: 24, contextLength: 48 };
const LENGTH = 20;
/** One of each way to share, group and route keys and values. */
const VARIANTS = ['mha', 'gqa:2', 'cla:2', 'mixsga:3:1:6', 'mixsga:1:1@k1v2,4'];
/** ‖a − b‖ / ‖b‖, at most. */
const TOLERANCE = 1e-4;

const tokens = Int32Array.from({ length: LENGTH }, (_, i) => (i * i * 7 + i * 3 + 11) % SIZES.vocabularySize);

export const familyChecks: readonly FamilyCheck[] = [
  check('reads the configuration that it writes, and refuses sizes that are none', async ({ config }) => {
    const json = JSON.parse(JSON.stringify(familyOf(config).toJson(config))) as object;
    expectSame('the configuration', parseModelConfig(json, 'config.json'), config);
    for (const wrong of [-1, 1.5, 2 ** 40, 'wide', null]) {
      const error = thrownBy(() => parseModelConfig({ ...json, hidden_size: wrong }, 'config.json'));
      expectThat(`a FileError of hidden_size ${JSON.stringify(wrong)}`, FileError.isInstance(error) && /^config\.json: hidden_size: expected /.test((error as Error).message));
    }
  }),

  check('names every parameter once, with keys and values where a variant stores them', async ({ config }) => {
    const { layers, kvHeads, headDim } = modelShape(config);
    const family = familyOf(config);
    for (const spec of VARIANTS) {
      const variant = parseAttention(spec);
      const shapes = new Map(family.parameters(config, variant).map(({ name, shape }) => [name, shape]));
      expectSame(`parameters of ${spec}`, family.parameters(config, variant).length, shapes.size);
      for (let layer = 0; layer < layers; layer++) {
        const at = `${family.layerName(layer)}.self_attn`;
        const isStored = variant.kvSource(layer) === layer;
        for (const projection of ['k_proj', 'v_proj']) {
          expectSame(`rows of ${at}.${projection} of ${spec}`, shapes.get(`${at}.${projection}.weight`)?.[0], isStored ? variant.storedKvHeads(kvHeads) * headDim : undefined);
        }
        const norm = family.heads.norm(config, layer);
        if (norm !== null) expectThat(`a parameter ${norm}.weight`, shapes.has(`${norm}.weight`));
        const { queryKeyNorm } = family.heads;
        const gain = { head: headDim, all: variant.storedKvHeads(kvHeads) * headDim };
        expectSame(`the gain of ${at}.k_norm of ${spec}`, shapes.get(`${at}.k_norm.weight`)?.[0], queryKeyNorm && isStored ? gain[queryKeyNorm] : undefined);
      }
    }
  }),

  check('computes the same in training and in one pass of generation, under both routings', async (setting) => {
    for (const spec of VARIANTS) {
      const { config, values } = convertModel(setting.config, setting.values, spec, { routerSeed: 3 });
      const model = await createTrainable(config, values);
      const decoder = await createDecoder(config, model.source());
      const [inputs, targets] = [tokens.subarray(0, -1), tokens.subarray(1)];
      for (const routing of ['prefill', 'decode'] as const) {
        const { nll } = await decoder.likelihood(inputs, targets, { routing });
        const expected = await read(tf.tidy(() => model.tokenNll(row(inputs), row(targets), { routing })));
        close(`likelihoods of ${spec}, ${routing}`, nll, expected);
      }
      decoder.dispose();
      model.dispose();
    }
  }),

  check('decodes token by token as in one pass', async (setting) => {
    for (const spec of VARIANTS) {
      const { config, values } = convertModel(setting.config, setting.values, spec, { routerSeed: 3 });
      const decoder = await createDecoder(config, values);
      for (const prompt of [1, LENGTH - 5]) {
        const cache = decoder.createCache();
        await decoder.prefill(tokens.subarray(0, prompt), cache, { want: 'argMax' });
        close(`logits of ${spec} after a prompt of ${prompt}`, await feed(decoder, tokens.subarray(prompt), cache), await inOnePass(decoder, tokens, prompt));
      }
      decoder.dispose();
    }
  }),

  check('sees no token that comes later, and every one before by its place', async ({ config, values }) => {
    const model = await createTrainable(config, values);
    const logits = async (ids: Int32Array) => read(tf.tidy(() => model.logits(row(ids), { routing: 'prefill' })));
    const before = await logits(tokens);
    const size = before.length / LENGTH;
    const changed = tokens.slice();
    changed[LENGTH - 1] = (changed[LENGTH - 1]! + 1) % SIZES.vocabularySize;
    close('the logits before a token that was changed', (await logits(changed)).subarray(0, -size), before.subarray(0, -size));
    const swapped = tokens.slice();
    [swapped[1], swapped[2]] = [swapped[2]!, swapped[1]!];
    expectThat('other logits after two tokens that changed places', distance((await logits(swapped)).subarray(-size), before.subarray(-size)) > 1e-3);
    model.dispose();
  }),

  check('has the gradients of finite differences in every parameter', async ({ config, values }) => {
    const model = await createTrainable(config, values);
    const batch = { inputs: row(tokens.subarray(0, -1)), targets: row(tokens.subarray(1)) };
    const objective = () => tf.tidy(() => model.loss(batch, { alpha: 0 }).total);
    const parameters = [...model.parameters()];
    const { value, grads } = tf.variableGrads(objective, parameters.map(([, variable]) => variable));
    for (const [stream, [name, variable]] of parameters.entries()) {
      const gradient = grads[variable.name];
      if (!gradient) throw new Error(`expected a gradient of ${name}, got none`);
      await expectSlope(name, { variable, gradient, objective, stream });
    }
    tf.dispose([value, ...Object.values(grads), batch.inputs, batch.targets]);
    model.dispose();
  }),

  check('has the same logits with its heads aligned', async ({ config, values }) => {
    const aligned = alignHeadValues(config, values, () => ({ groupSizes: [1, 2, 4], ratios: [3, 1, 6] }));
    const name = `${familyOf(config).layerName(1)}.self_attn.k_proj.weight`;
    expectThat('other keys', distance(aligned.get(name)!, values.get(name)!) > 1e-2);
    const models = [await createTrainable(config, values), await createTrainable(config, aligned)];
    const [before, after] = await Promise.all(models.map((model) => read(tf.tidy(() => model.logits(row(tokens), { routing: 'prefill' })))));
    close('logits', after!, before!);
    for (const model of models) model.dispose();
  }),
];

function check(name: string, run: (setting: Setting) => Promise<void>): FamilyCheck {
  return { name, run: (family) => run(settingOf(family)) };
}

function settingOf(family: string): Setting {
  const config = parseModelConfig({ model_type: family, ...sizedConfig(family) }, 'config.json');
  const values = new Map(familyOf(config).parameters(config, parseAttention('mha')).map(({ name, shape, start }, stream) => {
    const random = new SeededRandom(7, stream);
    const middle = start === 'ones' ? 1 : 0;
    return [name, Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => middle + 0.3 * random.normal())] as const;
  }));
  return { config, values };
}

/** Families whose heads all have keys of their own refuse fewer of them. */
function sizedConfig(name: string): Record<string, unknown> {
  const family = familyNamed(name);
  try {
    return family.sized(SIZES);
  } catch (error) {
    if (!ArgumentError.isInstance(error)) throw error;
    return family.sized({ ...SIZES, kvHeads: SIZES.heads });
  }
}

interface Slope {
  readonly variable: Variable;
  readonly gradient: Tensor;
  readonly objective: () => Scalar;
  readonly stream: number;
}

/** Along the gradient itself, a small step changes the objective by the gradient's square; where the gradient is zero, no step changes it. */
async function expectSlope(name: string, { variable, gradient, objective, stream }: Slope): Promise<void> {
  const [square] = await read(tf.tidy(() => tf.sum(tf.square(gradient))));
  const isZero = square! < 1e-10;
  const random = new SeededRandom(8, stream);
  const direction = isZero ? tf.tensor(Float32Array.from({ length: variable.size }, () => random.normal()), variable.shape) : gradient;
  const size = isZero ? 0.1 : 1e-2 / Math.sqrt(square!);
  const origin = tf.clone(variable);
  const along = async (h: number) => {
    tf.tidy(() => variable.assign(tf.add(origin, tf.mul(direction, h))));
    return (await read(objective()))[0]!;
  };
  const slope = ((await along(size)) - (await along(-size))) / (2 * size);
  variable.assign(origin);
  tf.dispose([origin, direction]);
  expectThat(`a slope of ${square} along the gradient of ${name}, got ${slope}`, isZero ? Math.abs(slope) < 1e-4 : Math.abs(slope / square! - 1) < 0.05);
}

function row(ids: Int32Array): Tensor2D {
  return tf.tensor2d(ids, [1, ids.length], 'int32');
}

async function read(tensor: Tensor): Promise<Float32Array> {
  const values = await tensor.data<'float32'>();
  tensor.dispose();
  return values;
}

function close(what: string, got: Float32Array, expected: Float32Array): void {
  const by = distance(got, expected);
  if (!(by < TOLERANCE)) throw new Error(`expected ${what} within ${TOLERANCE}, got ${by}`);
}
