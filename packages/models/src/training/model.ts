// Any family of models for training, with any attention variant of the catalog.
import { ArgumentError, causalAttention, expectBackend, expectOptions, type HeadInputs, linear, linearCrossEntropy, linearDistillation, Lifetime, type LayerRouting, type OptionNames, rotate, type Routing, tokenNll } from '@mixsga/backend';
import { distortions, type KvFormat, mixKv } from '@mixsga/experts';
import type { EstimatorKind, Router } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import type { Scalar, Tensor1D, Tensor2D, Tensor3D, Variable } from '@tensorflow/tfjs-core';
import { parseAttention } from '../attention/index';
import type { AttentionVariant } from '../attention/variant';
import { modelShape, type ModelShape } from '../config/shape';
import { rotaryAngles } from '../decoder/rotary';
import { sourceOf } from '../decoder/weight-loader';
import type { ModelConfig } from '../config/shape';
import { familyOf } from '../families/index';
import { finiteSource } from '../io/finite-source';
import type { ParameterSource } from '../io/parameter-source';
import { loadFormats } from '../attention/load-formats';
import { loadRouter } from '../attention/layer-router';
import { softMixture, withoutGradient } from './router-gradient';
import { type DifferentiableTransformer, Variables } from './transformer';

/** B sequences of T tokens, padded on the right. */
export interface TrainingBatch {
  /** int32 [B, T], token ids */
  readonly inputs: Tensor2D;
  /** int32 [B, T], the token that follows each input; a negative one does not count in the loss, at least one must count. */
  readonly targets: Tensor2D;
  /** int32 [B, T], 0 for padding, which is routed to no expert and takes no capacity; all real when left out. */
  readonly mask?: Tensor2D;
}

/** Its targets, where it has any, are left aside. */
type InputBatch = Pick<TrainingBatch, 'inputs'> & Partial<TrainingBatch>;

export interface LossOptions {
  /** Weight of the consistency loss. */
  readonly alpha: number;
  /** Draws the next-token distributions to a teacher's {@link TrainableModel.predictions} of the same batch; weight from 0 to 1. */
  readonly distillation?: { readonly teacher: HeadInputs; readonly weight: number };
  /** Whether routers read hidden states without passing a gradient back to them; default false. */
  readonly detach?: boolean;
  /** How the gradient of `prediction` reaches routers; default: not at all. See {@link TrainableModel.checkEstimator}. */
  readonly estimator?: EstimatorKind;
}

export interface Loss {
  /** prediction + alpha · consistency */
  readonly total: Scalar;
  /** lm, or with distillation of weight w (1 − w) · lm + w · kl. */
  readonly prediction: Scalar;
  /** Mean negative log-likelihood of the targets that count, under prefill routing, nats a token. */
  readonly lm: Scalar;
  /** Mean divergence from the teacher over the same tokens, nats a token; null without one. */
  readonly kl: Scalar | null;
  /** Consistency loss over the tokens that are no padding, the mean over layers; 0 without routers. */
  readonly consistency: Scalar;
  /** float32 [B, T, E] of each layer whose router is to be balanced, or what these come from, for {@link TrainableModel.balance}. */
  readonly scores: readonly Tensor3D[];
}

const BATCH: OptionNames<TrainingBatch> = { inputs: true, targets: true, mask: true };
const LOSS: OptionNames<LossOptions> = { alpha: true, distillation: { teacher: { x: true, w: true, softCap: true }, weight: true }, detach: true, estimator: true };
const ROUTING: OptionNames<{ routing: Routing }> = { routing: true };

/** Scores of a batch of one training step. */
export interface BalanceBatch extends Pick<Loss, 'scores'> {
  /** As in {@link TrainingBatch}. */
  readonly mask?: Int32Array;
}

const BALANCE: OptionNames<BalanceBatch> = { scores: true, mask: true };

/** What a layer's router made of a batch: int32 [B, T] by expert choice and by arg max, scores float32 [B, T, E]. */
export type LayerRoutingTensors = Required<LayerRouting<Tensor2D, Tensor3D>>;

type ForwardOptions = Pick<LossOptions, 'detach' | 'estimator'>;

interface Pass {
  readonly hidden: Tensor2D;
  /** `seen` is what the scores come from. */
  readonly routed: { seen: Tensor3D; scores: Tensor3D; assignment: Tensor2D; router: Router }[];
}

/**
 * A model on the active tfjs backend.
 *
 * @param source every parameter by its Hugging Face name, of which those of routers may be missing, and are then initialised from
 * `config.mixsga.routerSeed`; read one at a time
 * @throws ArgumentError when the attention variant does not fit the model; ArgumentError or FileError when a parameter is missing
 * or of another size. Then nothing is left on the backend.
 */
export async function createTrainable(
  config: ModelConfig, source: ParameterSource | ReadonlyMap<string, Float32Array>,
): Promise<TrainableModel> {
  expectBackend('createTrainable');
  const from = finiteSource('read' in source ? source : sourceOf(source));
  const shape = modelShape(config);
  const attention = parseAttention(shape.attention);
  attention.validate(shape);
  const family = familyOf(config);
  const variables = new Map<string, Variable>();
  const routers: Router[] = [];
  const formats: (readonly KvFormat[] | null)[] = [];
  try {
    for (const { name, shape } of family.parameters(config, attention)) {
      const values = await from.read(name);
      if (values.length !== tf.util.sizeFromShape(shape)) {
        throw new ArgumentError(`${name}: expected shape [${shape.join(', ')}], got ${values.length} values; do config.json and weights belong together?`);
      }
      variables.set(name, tf.tidy(() => tf.variable(tf.tensor(values, shape))));
    }
    for (let layer = 0; layer < shape.layers; layer++) {
      const at = `${family.layerName(layer)}.self_attn`;
      const loaded = await loadFormats(shape, attention, layer, at, (name) => from.read(name));
      formats.push(loaded?.formats ?? null);
      for (const [name, constant] of loaded?.constants ?? []) variables.set(`${at}.${name}`, constant);
    }
    for (let layer = 0; layer < shape.layers; layer++) {
      const prefix = `${family.layerName(layer)}.self_attn.router`;
      const router = await loadRouter(config, attention, layer, prefix, from);
      if (!router) break;
      routers.push(router);
      for (const [name, variable] of Object.entries({ ...router.trainable, ...router.buffers })) variables.set(`${prefix}.${name}`, variable);
    }
  } catch (error) {
    disposeAll(variables, routers);
    throw error;
  }
  return new TrainableModel(config, attention, variables, routers, formats);
}

/** A transformer that owns its variables: call {@link TrainableModel.dispose}. Made by {@link createTrainable}. */
export class TrainableModel {
  readonly shape: ModelShape;
  readonly #layers: Variables;
  readonly #transformer: DifferentiableTransformer;
  readonly #lifetime = new Lifetime('model', 'load it again');

  /**
   * @param routers one per layer, or none when nothing is routed
   * @param formats of each layer, null where another layer's keys and values are read
   */
  constructor(
    readonly config: ModelConfig,
    readonly attention: AttentionVariant,
    private readonly variables: ReadonlyMap<string, Variable>,
    private readonly routers: readonly Router[],
    private readonly formats: readonly (readonly KvFormat[] | null)[],
  ) {
    this.shape = modelShape(config);
    this.#layers = new Variables(variables);
    this.#transformer = familyOf(config).trainable(config, this.#layers);
  }

  /**
   * Every variable that is stored, by its Hugging Face name; routers are `…self_attn.router.weight` and `.bias`. Those that no optimizer
   * may change have `trainable` false, see {@link balance}.
   */
  parameters(): ReadonlyMap<string, Variable> {
    this.#lifetime.expect('parameters');
    return this.variables;
  }

  /**
   * For before training with {@link LossOptions.estimator}, which a model without routers leaves aside.
   * @throws ArgumentError when a router has nothing to train, or its experts do not group heads
   */
  checkEstimator(): void {
    this.#lifetime.expect('checkEstimator');
    const { formats: { grouping }, spec } = this.attention;
    if (this.routers.every(({ trainable }) => grouping && Object.keys(trainable).length > 0)) return;
    const got = grouping ? `a ${this.config.mixsga?.router} router, which has nothing to train` : `the experts of ${spec}`;
    throw new ArgumentError(`estimator: expected routers that learn, over experts that group heads, got ${got}; leave it out`);
  }

  /** The present values of {@link parameters}, for a decoder or a file. */
  source(): ParameterSource {
    this.#lifetime.expect('source');
    return {
      has: (name) => this.variables.has(name),
      read: async (name) => {
        this.#lifetime.expect('source');
        return (await this.variables.get(name)!.data<'float32'>()).slice();
      },
    };
  }

  /**
   * Training loss of a batch under prefill routing; differentiable in {@link parameters}.
   * @throws ArgumentError on an estimator as {@link checkEstimator}
   */
  loss(batch: TrainingBatch, options: LossOptions): Loss {
    this.#lifetime.expect('loss');
    expectOptions('loss', batch, BATCH);
    expectOptions('loss', options, LOSS);
    const { inputs, targets, mask } = batch;
    const { alpha, distillation, ...training } = options;
    if (training.estimator) this.checkEstimator();
    const { hidden, routed } = this.#forward(inputs, 'prefill', mask, training);
    const { prediction, lm, kl } = this.#predictionLoss(hidden, flat(targets), distillation);
    if (routed.length === 0) return { total: prediction, prediction, lm, kl, consistency: tf.scalar(0), scores: [] };
    const losses = routed.map(({ scores, assignment, router }) => router.loss(scores, assignment, mask));
    const consistency = tf.div<Scalar>(tf.addN(losses), routed.length);
    // With alpha 0 the routers get no gradient, instead of a gradient of zeros that costs a pass.
    const total = alpha === 0 ? prediction : tf.add<Scalar>(prediction, tf.mul(consistency, alpha));
    return { total, prediction, lm, kl, consistency, scores: seenToBalance(routed) };
  }

  /**
   * Moves the biases of routers that hold their ratios by feedback by `rate` of the way to where the real tokens of some batches would
   * have kept them. For after a step of the optimizer, with the {@link Loss.scores} of all its batches.
   */
  async balance(batches: readonly BalanceBatch[], rate: number): Promise<void> {
    this.#lifetime.expect('balance');
    for (const batch of batches) expectOptions('balance', batch, BALANCE);
    const balanced = this.routers.filter(({ balance }) => balance);
    for (const [i, router] of balanced.entries()) {
      const rows = await Promise.all(
        batches.map(async ({ scores, mask }) => {
          const values = await scores[i]!.data<'float32'>();
          const width = scores[i]!.shape[2];
          return mask ? values.filter((_, at) => mask[Math.floor(at / width)] !== 0) : values;
        }),
      );
      await router.balance!(joined(rows), rate);
    }
  }

  /** {@link Loss.scores} alone, in a pass under prefill routing, or in none where no router is balanced; the caller disposes them. */
  balanceScores(batch: InputBatch): Tensor3D[] {
    this.#lifetime.expect('balanceScores');
    expectOptions('balanceScores', batch, BATCH);
    if (!this.routers.some(({ balance }) => balance)) return [];
    return tf.tidy(() => seenToBalance(this.#forward(batch.inputs, 'prefill', batch.mask).routed));
  }

  /** What next-token distributions are made of, under prefill routing, for a student to be drawn to; `x` is the caller's to dispose. */
  predictions(batch: InputBatch): HeadInputs {
    this.#lifetime.expect('predictions');
    expectOptions('predictions', batch, BATCH);
    return { x: tf.tidy(() => this.#forward(batch.inputs, 'prefill', batch.mask).hidden), w: this.#head(), ...this.#headOptions() };
  }

  /** −log p(target) in nats: float32 [B, T], 0 where the target is negative. */
  tokenNll(inputs: Tensor2D, targets: Tensor2D, options: { routing: Routing }): Tensor2D {
    this.#lifetime.expect('tokenNll');
    expectOptions('tokenNll', options, ROUTING);
    return tf.tidy(() => {
      const { hidden } = this.#forward(inputs, options.routing);
      return tf.reshape(tokenNll(hidden, this.#head(), flat(targets), this.#headOptions()), inputs.shape);
    });
  }

  /** float32 [B, T, V] */
  logits(inputs: Tensor2D, options: { routing: Routing }): Tensor3D {
    this.#lifetime.expect('logits');
    expectOptions('logits', options, ROUTING);
    return tf.tidy(() => {
      const { hidden } = this.#forward(inputs, options.routing);
      const products = linear(hidden, this.#head(), null);
      const { logitCap } = this.#transformer;
      const logits = logitCap === undefined ? products : tf.mul(tf.tanh(tf.div(products, logitCap)), logitCap);
      return tf.reshape(logits, [...inputs.shape, this.shape.vocabularySize]);
    });
  }

  /**
   * The routers' scores and both decisions in a pass whose layers follow `routing`; empty without routers. The
   * caller disposes the tensors.
   */
  routingOf(inputs: Tensor2D, options: { routing: Routing }): LayerRoutingTensors[] {
    this.#lifetime.expect('routingOf');
    expectOptions('routingOf', options, ROUTING);
    const { routing } = options;
    return tf.tidy(() =>
      this.#forward(inputs, routing).routed.map(({ scores, assignment, router }) => ({
        scores,
        prefill: routing === 'prefill' ? assignment : router.assign(scores),
        decode: routing === 'decode' ? assignment : router.decode(scores),
      })),
    );
  }

  /** Frees the variables. Other calls throw an ArgumentError after it, and a BackendError while another backend is the active one. */
  dispose(): void {
    if (!this.#lifetime.end()) return;
    disposeAll(this.variables, this.routers);
  }

  #forward(inputs: Tensor2D, routing: Routing, mask?: Tensor2D, training: ForwardOptions = {}): Pass {
    const { detach = false, estimator } = training;
    const { heads, headDim, layers, contextLength } = this.shape;
    const { scale, softCap } = this.#transformer;
    const [batch, length] = inputs.shape;
    if (length > contextLength) {
      throw new ArgumentError(`TrainableModel: expected at most ${contextLength} tokens a sequence, got ${length}; shorten the window`);
    }
    const anglesOf = new Map<Float32Array, Tensor2D>();
    // Queries rotate as the keys that they meet.
    const turn = (x: Tensor2D, source: number) => {
      const frequencies = this.#transformer.frequencies?.(source);
      if (!frequencies) return x;
      const angles = anglesOf.get(frequencies) ?? tf.tensor2d(rotaryAngles(frequencies, positionsTo(length)), [length, headDim]);
      anglesOf.set(frequencies, angles);
      return rotate(x, angles);
    };
    const kvHeads = this.attention.storedKvHeads(this.shape.kvHeads);
    const family = familyOf(this.config);
    const routed: Pass['routed'] = [];
    const kvOf: { k: Tensor2D; v: Tensor2D }[] = [];

    let x = this.#transformer.embed(inputs); // [B·T, D]
    for (let layer = 0; layer < layers; layer++) {
      const at = `${family.layerName(layer)}.self_attn`;
      const input = this.#transformer.startLayer(layer, x);
      const source = this.attention.kvSource(layer);
      const projected = this.#layers.linear(`${at}.q_proj`, input); // [B·T, H·d]
      const q = turn(this.#transformer.queries?.(layer, projected) ?? projected, source);
      if (source === layer) {
        const projected = this.#layers.linear(`${at}.k_proj`, input); // [B·T, K·d]
        const k = turn(this.#transformer.keys?.(layer, projected) ?? projected, source);
        const v = this.#layers.linear(`${at}.v_proj`, input);
        const router = this.routers[layer];
        const own = this.formats[layer]!;
        if (router && this.attention.experts) {
          const read = router.distortion ? distortions(k, v, own) : input;
          const seen = tf.reshape(read, [batch, length, read.shape[1]]) as Tensor3D;
          const scores = router.score(detach ? withoutGradient(seen) : seen);
          const assignment = routing === 'prefill' ? router.assign(scores, mask) : router.decode(scores);
          routed.push({ seen, scores, assignment, router });
          const ratios = this.attention.experts.ratiosOf(layer);
          kvOf[layer] = mixKv(k, v, flat(assignment), own, estimator && softMixture(scores, ratios, estimator));
        } else {
          const isExact = this.attention.formats.grouping?.groupSizes[0] === 1;
          kvOf[layer] = isExact ? { k, v } : mixKv(k, v, tf.zeros([batch * length], 'int32'), own);
        }
      }
      const { k, v } = kvOf[source]!;
      const window = this.#transformer.window(layer);
      const options = { batch, heads, kvHeads, scale, ...(softCap === undefined ? {} : { softCap }), ...(window === null ? {} : { window }) };
      x = this.#transformer.finishLayer(layer, x, causalAttention(q, k, v, options));
    }
    return { hidden: this.#transformer.lastHidden(x), routed };
  }

  #predictionLoss(x: Tensor2D, targets: Tensor1D, distillation: LossOptions['distillation']): Pick<Loss, 'prediction' | 'lm' | 'kl'> {
    const [w, options] = [this.#head(), this.#headOptions()];
    if (distillation) {
      const { loss, lm, kl } = linearDistillation({ x, w, ...options }, distillation.teacher, targets, distillation.weight);
      return { prediction: loss, lm, kl };
    }
    const lm = linearCrossEntropy(x, w, targets, options);
    return { prediction: lm, lm, kl: null };
  }

  #head(): Tensor2D {
    return this.#layers.matrix(this.#transformer.head);
  }

  #headOptions(): { softCap?: number } {
    const { logitCap } = this.#transformer;
    return logitCap === undefined ? {} : { softCap: logitCap };
  }
}

function disposeAll(variables: ReadonlyMap<string, Variable>, routers: readonly Router[]): void {
  for (const router of routers) router.dispose();
  for (const variable of variables.values()) variable.dispose();
}

function seenToBalance(routed: Pass['routed']): Tensor3D[] {
  return routed.flatMap(({ seen, scores, router }) => (router.balance ? [router.distortion ? seen : scores] : []));
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let from = 0;
  for (const part of parts) {
    all.set(part, from);
    from += part.length;
  }
  return all;
}

/** [B, T] -> [B·T] */
function flat(tensor: Tensor2D): Tensor1D {
  return tf.reshape(tensor, [tensor.size]);
}

function positionsTo(length: number): Int32Array {
  return Int32Array.from({ length }, (_, position) => position);
}
