// README.md of a saved model, as the Hugging Face hub shows it.
import { expectOptions, type OptionNames } from '@mixsga/backend';
import { parseAttention } from '../attention/index';
import { modelShape } from '../config/shape';
import type { ModelConfig } from '../config/shape';
import { isHubId } from '../hub/repository';
import { keptShare } from '../sizes/cost';

export interface ModelHistory {
  /** What it was made from: an id of the hub or the name of a shipped model is named, a folder is not. Absent: from random weights. */
  readonly source?: string | undefined;
  /** Tokens that it was trained on since; absent: the weights were converted, no more. */
  readonly tokens?: number | undefined;
}

export const MODEL_HISTORY: OptionNames<ModelHistory> = { source: true, tokens: true };

/**
 * The card as a file to save beside a model. A README.md of someone else's that is there already stays: then there is none.
 * @param folder where the model will be
 */
export async function cardFile(folder: string, config: ModelConfig, { source, tokens }: ModelHistory): Promise<Map<string, string>> {
  const { readFile, stat } = await import('node:fs/promises');
  const before = await readFile(`${folder}/README.md`, 'utf8').catch(() => '');
  if (before !== '' && !before.includes('library_name: mixsga')) return new Map();
  // A folder may be called like an id of the hub.
  const isFolder = source !== undefined && (await stat(source).catch(() => null)) !== null;
  return new Map([['README.md', modelCard(config, { source: isFolder ? '.' : source, tokens })]]);
}

/** A short model card: what was done, and how to load it. */
export function modelCard(config: ModelConfig, history: ModelHistory): string {
  expectOptions('modelCard', history, MODEL_HISTORY);
  const { source, tokens } = history;
  const shape = modelShape(config);
  const { family, attention } = shape;
  const variant = parseAttention(attention);
  const base = source !== undefined && isHubId(source) ? source.replace(/@.*$/, '') : null;
  const origin = source === undefined ? 'random weights' : (base ?? (/^[\w-]+$/.test(source) ? source : 'a model in a folder'));
  const share = Number((100 * keptShare(shape, variant)).toPrecision(3));
  const lines = [
    '---',
    'license: unknown',
    'library_name: mixsga',
    'pipeline_tag: text-generation',
    ...(base === null ? [] : [`base_model: ${base}`]),
    'tags:',
    '- mixsga',
    `- ${family}`,
    '---',
    '',
    `# ${family} with ${variant.spec} attention`,
    '',
    `- Made from: ${origin}${base === null ? '' : ', whose license applies'}`,
    `- Attention: \`${variant.spec}\`, ${share} % of the KV cache of the unmodified model`,
    ...(config.mixsga?.align ? ['- Heads were aligned before they were grouped'] : []),
    `- Training: ${tokens === undefined ? 'none since the conversion' : `${tokens.toLocaleString('en-US')} tokens`}`,
    '',
    'With the command line of mixsga:',
    '',
    '    mixsga generate FOLDER --prompt "Once upon a time"',
    '',
    'In JavaScript:',
    '',
    '```js',
    "import { fromPretrained } from '@mixsga/models';",
    '',
    "const { decoder, tokenizer } = await fromPretrained('FOLDER', { backend: 'wasm' });",
    '```',
  ];
  if (variant.spec === 'mha') lines.push('', 'It is a plain model of its family, which Hugging Face transformers loads too.');
  return `${lines.join('\n')}\n`;
}
