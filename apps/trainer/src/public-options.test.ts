import {
  adamwStep, causalAttention, createRuntime, groupMean, linearCrossEntropy, linearDistillation, startBackend, tokenNll, HostPages, storedGroups, storedLatent,
} from '@mixsga/backend';
import { benchDecode, benchKernels, benchPrefill, benchTrain } from '@mixsga/bench';
import { checkJudge, encodeInstruction, evaluators, parseInstruction, perplexity, routing, runEvaluator, tokensOfText } from '@mixsga/evaluators';
import { allocateRatios, formats, groupedFormat, kvGroupedFormat, latentFormat } from '@mixsga/experts';
import { cacheOfFields, CachePool, fieldsOfCache, kvBytesPerToken, resolveCacheSpec } from '@mixsga/kv-cache';
import {
  convertCheckpoint, convertConfig, convertedSource, convertModel, createDecoder, downloadDataset, downloadModel, fromPretrained, generate,
  expectTrainingFits, generateText, Generation, languageModel, loadModel, modelCard, openCheckpoint, openModelCheckpoint, type Pretrained, resolveModel,
  saveCheckpoint, saveModel, streamNll, type TrainableModel, trainableOf, trainingMemory,
} from '@mixsga/models';
import { writeReport } from '@mixsga/report';
import { balancedRouter, createRouter, distortionRouter, randomRouter, routers, sigmoidRouter, validateRouterOptions } from '@mixsga/router';
import { BatchSampler, encodeExamples, InstructionSampler, trainBpe, Trainer, trainLoop, validate, validateResponses } from '@mixsga/training';
import { allocateModel, evaluateModel, evaluateRun, readFileRows, runComparison, runSweep, runTraining, withOutputFolder } from '@mixsga/training/node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type OptionsParameter, publicOptions } from './testing/public-options';

let opened: Pretrained;
let trainable: TrainableModel;
let pool: CachePool;

beforeAll(async () => {
  opened = await fromPretrained('sotu-mini', { backend: 'wasm' });
  trainable = await loadModel('sotu-mini');
  pool = new CachePool(createRuntime(), { layers: 1, formats: [storedGroups({ kvHeads: 2, headDim: 4, groupSize: 1 })], fingerprint: 'tiny' });
});
afterAll(() => {
  opened.decoder.dispose();
  trainable.dispose();
  pool.dispose();
});

/** Of an argument that nobody looks at before the options. */
const any = undefined as never;
const model = () => languageModel(opened);
const trainerOptions = { schedule: any, optimizer: any, clip: 1, routerLoss: { alpha: 0 }, sequenceLength: 1 };

/** Every call of the packages that takes options, with some. */
const calls: Readonly<Record<string, (options: never) => unknown>> = {
  'startBackend(options)': (options) => startBackend('wasm', options),
  'InferenceRuntime#pages(format)': (format) => createRuntime().pages(format),
  'TokenRuntime#pages(format)': (format) => createRuntime().pages(format),
  'adamwStep(options)': (options) => adamwStep(any, any, any, any, options),
  'causalAttention(options)': (options) => causalAttention(any, any, any, options),
  'groupMean(options)': (options) => groupMean(any, any, options),
  'linearCrossEntropy(options)': (options) => linearCrossEntropy(any, any, any, options),
  'tokenNll(options)': (options) => tokenNll(any, any, any, options),
  'linearDistillation(student)': (student) => linearDistillation(student, any, any, 0),
  'linearDistillation(teacher)': (teacher) => linearDistillation(any, teacher, any, 0),
  'storedGroups(options)': (options) => storedGroups(options),
  'storedLatent(options)': (options) => storedLatent(options),

  'createRouter(options)': (options) => createRouter('sigmoid', options),
  'routers.sigmoid(options)': (options) => routers.sigmoid(options),
  'routers.random(options)': (options) => routers.random(options),
  'routers.balanced(options)': (options) => routers.balanced(options),
  'routers.distortion(options)': (options) => routers.distortion(options),
  'sigmoidRouter(options)': (options) => sigmoidRouter(options),
  'randomRouter(options)': (options) => randomRouter(options),
  'balancedRouter(options)': (options) => balancedRouter(options),
  'distortionRouter(options)': (options) => distortionRouter(options),
  'validateRouterOptions(options)': (options) => validateRouterOptions(options),

  'allocateRatios(options)': (options) => allocateRatios([], options),
  'formats.grouped(options)': (options) => formats.grouped(options),
  'formats.kv-grouped(options)': (options) => formats['kv-grouped'](options),
  'formats.latent(options)': (options) => formats.latent(options),
  'groupedFormat(options)': (options) => groupedFormat(options),
  'kvGroupedFormat(options)': (options) => kvGroupedFormat(options),
  'latentFormat(options)': (options) => latentFormat(options),

  'kvBytesPerToken(layout)': (layout) => kvBytesPerToken(layout),
  'new HostPages(format)': (format) => new HostPages(format),
  'new CachePool(layout)': (layout) => new CachePool(any, layout),
  'CachePool#create(options)': (options) => pool.create(options),
  'CachePool#restore(options)': (options) => pool.restore(any, options),
  'fieldsOfCache(cache)': (cache) => fieldsOfCache(cache),
  'resolveCacheSpec(cache)': (cache) => resolveCacheSpec(cache),
  'cacheOfFields(fields)': (fields) => cacheOfFields(fields),

  'loadModel(options)': (options) => loadModel('none', options),
  'trainableOf(options)': (options) => trainableOf(any, options),
  'openModelCheckpoint(options)': (options) => openModelCheckpoint('none', options),
  'openCheckpoint(options)': (options) => openCheckpoint([], options),
  'resolveModel(options)': (options) => resolveModel('none', options),
  'downloadModel(options)': (options) => downloadModel('none', options),
  'downloadDataset(options)': (options) => downloadDataset('none', options),
  'saveModel(options)': (options) => saveModel(any, 'none', options),
  'saveCheckpoint(content)': (content) => saveCheckpoint('none', content),
  'saveCheckpoint(options)': (options) => saveCheckpoint('none', any, options),
  'modelCard(history)': (history) => modelCard(any, history),
  'convertConfig(options)': (options) => convertConfig(any, 'gqa:2', options),
  'convertedSource(options)': (options) => convertedSource(any, any, 'gqa:2', options),
  'convertModel(options)': (options) => convertModel(any, any, 'gqa:2', options),
  'convertCheckpoint(options)': (options) => convertCheckpoint('none', 'none', options),
  'fromPretrained(options)': (options) => fromPretrained('none', options),
  'createDecoder(options)': (options) => createDecoder(opened.config, any, options),

  'CachedDecoder.create(options)': (options) => createDecoder(opened.config, any, options),
  'CachedDecoder#createCache(options)': (options) => opened.decoder.createCache(options),
  'CachedDecoder#restoreCache(options)': (options) => opened.decoder.restoreCache(any, options),
  'CachedDecoder#prefill(options)': (options) => opened.decoder.prefill(any, any, options),
  'CachedDecoder#likelihood(options)': (options) => opened.decoder.likelihood(any, any, options),
  'CachedDecoder#routingOf(options)': (options) => opened.decoder.routingOf(any, options),
  'generate(options)': (options) => generate(opened.decoder, any, options),
  'generateText(options)': (options) => generateText(opened.decoder, any, any, options),
  'new Generation(options)': (options) => new Generation(opened.decoder, any, options),
  'streamNll(options)': (options) => streamNll(opened.decoder, any, any, options),
  'DecodedLanguageModel#likelihood(options)': (options) => model().likelihood(any, any, options),
  'DecodedLanguageModel#routingOf(options)': (options) => model().routingOf(any, options),
  'DecodedLanguageModel#streamNll(options)': (options) => model().streamNll(any, any, options),
  'DecodedLanguageModel#generate(options)': (options) => model().generate(any, options),
  'Tokenizer#encode(options)': (options) => opened.tokenizer.encode('', options),
  'Tokenizer#encodeLong(options)': (options) => opened.tokenizer.encodeLong('', options),
  'Tokenizer#decode(options)': (options) => opened.tokenizer.decode([], options),

  'expectTrainingFits(load)': (load) => expectTrainingFits(any, load, 'cuda', { memory: null }),
  'trainingMemory(load)': (load) => trainingMemory(any, load),
  'TrainableModel#loss(batch)': (batch) => trainable.loss(batch, { alpha: 0 }),
  'TrainableModel#loss(options)': (options) => trainable.loss(any, options),
  'TrainableModel#balance(batches)': (batch) => trainable.balance([batch], 1),
  'TrainableModel#balanceScores(batch)': (batch) => trainable.balanceScores(batch),
  'TrainableModel#predictions(batch)': (batch) => trainable.predictions(batch),
  'TrainableModel#tokenNll(options)': (options) => trainable.tokenNll(any, any, options),
  'TrainableModel#logits(options)': (options) => trainable.logits(any, options),
  'TrainableModel#routingOf(options)': (options) => trainable.routingOf(any, options),

  'runEvaluator(data)': (data) => runEvaluator(evaluators.perplexity, model(), data, { routing: 'decode' }),
  'runEvaluator(options)': (options) => runEvaluator(evaluators.perplexity, model(), any, options),
  'perplexity(options)': (options) => perplexity(model(), any, options),
  'routing(options)': (options) => routing(model(), any, options),
  'tokensOfText(options)': (options) => tokensOfText(any, any, options),
  'encodeInstruction(options)': (options) => encodeInstruction(any, any, options),
  'parseInstruction(options)': (options) => parseInstruction(any, options),
  'checkJudge(endpoint)': (endpoint) => checkJudge(endpoint),

  'new BatchSampler(options)': (options) => new BatchSampler(any, options),
  'new InstructionSampler(options)': (options) => new InstructionSampler([], options),
  'encodeExamples(options)': (options) => encodeExamples([], any, options),
  'trainBpe(options)': (options) => trainBpe([], 300, options),
  'new Trainer(options)': (options) => new Trainer(any, options),
  'Trainer#takeStep(batches)': (batch) => new Trainer({ parameters: () => new Map() } as never, trainerOptions).takeStep([batch]),
  'trainLoop(options)': (options) => trainLoop(options),
  'validate(options)': (options) => validate(any, any, options),
  'validateResponses(options)': (options) => validateResponses(any, [], options),
  'allocateModel(options)': (options) => allocateModel('none', options),
  'evaluateModel(options)': (options) => evaluateModel('none', [], options),
  'evaluateRun(options)': (options) => evaluateRun(any, 'none', options),
  'readFileRows(given)': (options) => readFileRows({ path: 'none', name: 'none' }, options).next(),
  'runComparison(options)': (options) => runComparison(any, 'none', options),
  'runSweep(options)': (options) => runSweep(any, 'none', 'none', options),
  'runTraining(options)': (options) => runTraining(any, 'none', options),
  'withOutputFolder(options)': (options) => withOutputFolder('none', any, options),

  'writeReport(extras)': (extras) => writeReport('none', any, extras),
  'benchDecode(options)': (options) => benchDecode(options),
  'benchPrefill(options)': (options) => benchPrefill(options),
  'benchKernels(options)': (options) => benchKernels(options),
  'benchTrain(options)': (options) => benchTrain(options),
};

const kernels = 'called for each layer of a token: declarations alone guard what a decoder hands on';
const contract = 'a contract: what is here for it is in the table, and others check their own';
const evaluator = 'called by runEvaluator, which checks';
const config = 'a config.json, read by parseModelConfig, which warns of keys that it does not know';
const parsed = 'what a schema has parsed, which refuses what it does not know';
const files = 'files as they come: a File of a browser has more';

/** What looks like options and is not checked, each with the reason; `*` for all with that beginning. */
const unchecked: Readonly<Record<string, string>> = {
  'InferenceRuntime#rmsNorm(options)': kernels,
  'InferenceRuntime#apply(options)': kernels,
  'VectorRuntime#*': kernels,
  'PromptRuntime#causalAttention(options)': kernels,
  'GroupedKernels#attend(options)': kernels,
  'feedForward(options)': kernels,
  'rotaryFrequencies(__0)': config,
  'InferenceRuntime#causalAttention(options)': kernels,
  'LatentKernels#attend(options)': kernels,
  'LayerAttention#*': kernels,
  'createLayerAttention(setting)': 'a layer, for which a decoder has all parts',
  'storedBits(__0)': 'what a format stores, which may be more than is read of it',
  'KvCache#view(__1)': kernels,
  'CachedDecoder#step(__2)': 'called for each token: the value of its one option, which must be there, is checked',
  'Decoder#*': contract,
  'LanguageModel#*': contract,
  'LikelihoodModel#*': contract,
  'EvaluationTokenizer#*': contract,
  'Evaluator#*': evaluator,
  'new Registry(options)': 'of the packages here, which types hold to them',
  'formatCacheSpec(spec)': 'a spec, checked where a cache is made of it',
  'kvAccounting(model)': 'a model, of which it reads one thing',
  'matchTensors(expected)': 'parameters, as storedParameters lists them',
  'encodeInstruction(instruction)': 'a row, as parseInstruction gives it',
  'readFileRows(file)': files,
  'evaluateModel(tasks)': evaluator,
  'readEvaluations(tasks)': parsed,
  'runComparison(config)': parsed,
  'runSweep(config)': parsed,
  'runTraining(config)': parsed,
  'evaluateRun(config)': parsed,
  'summarise(report)': parsed,
  'bestLine(__0)': parsed,
  'sweepTable(report)': parsed,
  'writeSweepReport(report)': parsed,
  'formatEvaluations(report)': parsed,
  'formatTable(report)': parsed,
  'writeReport(report)': parsed,
  'openCheckpoint(source)': files,
  'openModelCheckpoint(source)': files,
  'fromPretrained(source)': files,
};
const uncheckedTypes: Readonly<Record<string, string>> = { OptConfig: config, ModelConfig: config };

const packages = ['backend', 'router', 'experts', 'kv-cache', 'models', 'evaluators', 'training', 'report', 'bench'];
const found = publicOptions([...packages.map((name) => `${name}/src/index`), 'training/src/node', 'training/src/process/parent'], ['StoredFormat']);
const configs = new Set(found.filter(({ type }) => Object.hasOwn(uncheckedTypes, type)).map(({ call }) => call));
const reasonOf = ({ call }: OptionsParameter) =>
  Object.keys(unchecked).find((id) => id === call || (id.endsWith('*') && call.startsWith(id.slice(0, -1)))) ?? (configs.has(call) ? config : undefined);

describe('options of the public API', () => {
  test('are all in this table, or have a reason why they are not', () => {
    expect(found.length).toBeGreaterThan(100);
    expect(found.filter((each) => !Object.hasOwn(calls, each.call) && reasonOf(each) === undefined).map(({ id }) => id)).toEqual([]);
    const known = new Set(found.map(({ call }) => call));
    expect(Object.keys(calls).filter((call) => !known.has(call))).toEqual([]);
    const used = new Set(found.map(reasonOf));
    expect(Object.keys(unchecked).filter((id) => !used.has(id))).toEqual([]);
    expect(Object.keys(uncheckedTypes).filter((name) => !found.some(({ type }) => type === name))).toEqual([]);
  });

  const checked = found.filter(({ call }) => Object.hasOwn(calls, call));

  test.each(checked.map((each) => [each.id, each] as const))('%s: an unknown one is refused by name', async (_id, each) => {
    const message = await refusal(each, 'zzqx');
    const [, listed = ''] = /: there is no option "zzqx"; expected (.*)$/.exec(message) ?? [];
    expect(listed.split(', ').sort(), message).toEqual([...each.names].sort());
    const name = each.names.reduce((longest, name) => (name.length > longest.length ? name : longest));
    expect(await refusal(each, misspelt(name))).toMatch(new RegExp(`: there is no option "${misspelt(name)}"; did you mean ${name}\\?$`));
  });
});

/** The message for an option of this name. */
async function refusal({ call, path }: OptionsParameter, name: string): Promise<string> {
  const options = path.toReversed().reduce<object>((inner, outer) => ({ [outer]: inner }), { [name]: 1 });
  try {
    await calls[call]!(options as never);
  } catch (error) {
    if ((error as Error).name === 'ArgumentError') return (error as Error).message;
    throw error;
  }
  return 'nothing was refused';
}

/** As Python has it, or a letter short. */
function misspelt(name: string): string {
  const python = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  if (python !== name) return python;
  return name.length > 3 ? name[0]! + name.slice(2) : `${name}_`;
}
