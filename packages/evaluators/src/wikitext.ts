import { ArgumentError } from '@mixsga/backend';
import { type DataRow, defineEvaluator } from './evaluator';
import { fieldsOf } from './fields';
import { harnessSample, type HarnessSample, printedNumber } from './harness/sample';
import { rollingWindows, scoreWindows } from './log-likelihood';
import { SPACE } from './python-text';

export interface WikitextSample extends HarnessSample {
  /** Log-likelihood of the page, nats, and its words. */
  readonly word_perplexity: readonly [number, number];
  /** Log-likelihood of the page, nats, and its bytes of UTF-8. */
  readonly byte_perplexity: readonly [number, number];
  readonly bits_per_byte: readonly [number, number];
}

export interface Item {
  readonly id: number;
  readonly doc: Readonly<Record<string, unknown>>;
  /** As it stands in the data set. */
  readonly page: string;
  readonly where: string;
  /** What is predicted. */
  readonly text: string;
}

const METRICS = ['word_perplexity', 'byte_perplexity', 'bits_per_byte'] as const;

/**
 * WikiText-2 by whole pages. Each page is detokenised and predicted token by token in rolling windows, the first after
 * the prefix token; its words and bytes are those of the page as it stands in the data set. Rows: page; or text, which is plain already and
 * is predicted as it stands. The harness gives no standard errors.
 */
export const wikitext = defineEvaluator<Item, WikitextSample>({
  name: 'wikitext',
  description: 'WikiText-2 by pages: perplexity by word and by byte, and bits per byte',
  definition: 'lm-evaluation-harness 0.4.13: wikitext',
  version: 2,
  reads: 'rows',
  dataset: { repository: 'EleutherAI/wikitext_document_level', file: 'wikitext-2-raw-v1/test-00000-of-00001.parquet' },
  higherIsBetter: [],
  items: (_model, { rows }, { limit }) => rows!.slice(0, limit).map(itemOf),
  async measure(model, items, options) {
    const samples: WikitextSample[] = [];
    const { signal, onPart } = options;
    for (const { id, doc, page, text, where } of items) {
      const tell = onPart && ((share: number) => onPart((samples.length + share) / items.length));
      const windows = await rollingWindows(model, text, where, { signal });
      const scores = await scoreWindows(model, windows, { ...options, ...(tell && { onPart: tell }) });
      const logLikelihood = scores.reduce((sum, score) => sum + score.logLikelihood, 0);
      const words = page.split(new RegExp(`${SPACE}+`)).length;
      const bytes = new TextEncoder().encode(page).length;
      samples.push({
        ...(await harnessSample(id, doc, text, [[text]], [printedNumber(logLikelihood)], METRICS)),
        word_perplexity: [logLikelihood, words],
        byte_perplexity: [logLikelihood, bytes],
        bits_per_byte: [logLikelihood, bytes],
      });
    }
    return samples;
  },
  summarise(samples, _model, { routing }) {
    const total = (metric: (typeof METRICS)[number], which: 0 | 1) => samples.reduce((sum, sample) => sum + sample[metric][which], 0);
    const [logLikelihood, words, bytes] = [total('word_perplexity', 0), total('word_perplexity', 1), total('byte_perplexity', 1)];
    if (bytes === 0) throw new ArgumentError(`wikitext: expected a text of 1 byte or more, got none in ${samples.length} pages; check the data`);
    return {
      metrics: {
        word_perplexity: Math.exp(-logLikelihood / words),
        word_perplexity_stderr: null,
        byte_perplexity: Math.exp(-logLikelihood / bytes),
        byte_perplexity_stderr: null,
        bits_per_byte: -logLikelihood / bytes / Math.LN2,
        bits_per_byte_stderr: null,
      },
      details: { pages: samples.length, words, bytes, routing },
    };
  },
});

function itemOf(row: DataRow, id: number): Item {
  const fields = fieldsOf(row);
  const isPlain = !('page' in fields.all) && 'text' in fields.all;
  const page = fields.text(isPlain ? 'text' : 'page');
  return { id, doc: fields.all, page, text: isPlain ? page : detokenised(page), where: row.where };
}

/** A page of WikiText as it would be written, by the rules of lm-evaluation-harness, in their order. */
export function detokenised(page: string): string {
  let text = page.replaceAll("s '", "s'").replace(/\/' [0-9]\//g, "/'[0-9]/");
  for (const mark of ['-', ',', '.']) text = text.replaceAll(` @${mark}@ `, mark);
  for (const mark of [':', ';', '.', '!', '?', ',']) text = text.replaceAll(` ${mark} `, `${mark} `);
  for (const [pattern, begin, end] of ENCLOSED) text = text.replace(pattern, (_, inner: string) => begin + inner + end);
  return text
    .replaceAll('= = = =', '====')
    .replaceAll('= = =', '===')
    .replaceAll('= =', '==')
    .replaceAll(' ° ', '°')
    .replaceAll(' \n', '\n')
    .replaceAll('\n ', '\n')
    .replaceAll(' N ', ' 1 ')
    .replaceAll(" 's", "'s");
}

/** White space goes from the inner ends of brackets and quotes. */
const ENCLOSED = ['()', '[]', '{}', '""', "''"].map((pair) => {
  const [begin, end] = pair as unknown as [string, string];
  return [new RegExp(`\\${begin}${SPACE}*([^\\${end}]*?)${SPACE}*\\${end}`, 'g'), begin, end] as const;
});
