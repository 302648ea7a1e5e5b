import { basename, dirname, join } from 'node:path';

import { writeFileAtomic } from '@mixsga/models';

import { bestLine, sweepMarkdownTable, sweepPlot } from '../sweep/render';
import { budgetPlot } from '../plots/budget-plot';
import { bullets, HOW_TO_READ as COMPARISON, taskNote } from '../markdown';
import { nameLines } from '../names';
import { Palette, stylesOf } from '../plots/palette';
import { frontierLines } from '../ranking';
import { summarise } from '../summary';
import { markdownEvaluations, markdownTable } from '../table';
import { judge } from '../verdict';
import type { Collected } from './collected';
import { equalBudgetTables, taskTables } from './markdown';
import { measurementsOf } from './measurement';
import { type Plot, plotsOf } from './plots';

/**
 * Writes report.md and its pictures into a folder: the tables of all results, comparisons and sweeps, and what can be drawn of them.
 *
 * @returns the paths written, report.md first
 * @throws FileError for a folder that cannot be written
 */
export async function writeResultsReport(folder: string, collected: Collected): Promise<string[]> {
  const { measurements, older } = measurementsOf(collected);
  const { metrics, routing, importance, retrieval, eviction } = await plotsOf(measurements);
  const files = new Map<string, string>();
  const picture = ({ name, caption, svg }: Plot): string => {
    const slug = name.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
    let file = `${slug}.svg`;
    for (let number = 2; files.has(file); number++) file = `${slug}-${number}.svg`;
    files.set(file, svg);
    return `![${caption.replace(/[[\]]/g, '')}](${file})`;
  };
  const section = (title: string, content: readonly string[]) => (content.length > 0 ? [`## ${title}`, ...content] : []);
  const equal = equalBudgetTables(measurements);
  const sections = [
    '# Results',
    ...section('By task', taskTables(measurements)),
    ...(measurements.length > 0 ? [HOW_TO_READ] : []),
    ...(older > 0 ? [`Older results of the same settings, which are left out: ${older}.`] : []),
    ...section('At equal KV cache', equal),
    ...section('Against the KV cache', metrics.map(picture)),
    ...section('Under eviction', eviction.map(picture)),
    ...section('Retrieval', retrieval.map(picture)),
    ...section('Routing', routing.map(picture)),
    ...section('Token importance', importance.map(picture)),
  ];
  const palette = new Palette();
  for (const { path, content } of collected.comparisons) {
    const methods = summarise(content);
    const { sentence, remarks } = judge(methods);
    const tasks = markdownEvaluations(content);
    const plot = picture({ name: `comparison-${nameOf(path)}`, caption: 'Perplexity against KV bytes per token', svg: await budgetPlot(content, stylesOf(methods, palette)) });
    const frontier = bullets(frontierLines(methods));
    sections.push(
      ...[`## Comparison: ${nameOf(path)}`, [sentence, ...remarks].join(' '), markdownTable(content), ...(frontier ? [frontier] : [])],
      ...[...(tasks ? [tasks, taskNote(tasks)] : []), plot, 'The names:', bullets(nameLines(methods))],
    );
  }
  if (collected.comparisons.length > 0) sections.push('## How to read the comparisons', bullets(COMPARISON));
  for (const { path, content } of collected.sweeps) {
    const svg = await sweepPlot(content);
    const plot = svg === null ? [] : [picture({ name: `sweep-${nameOf(path)}`, caption: `${content.metric} by setting`, svg })];
    sections.push(`## Sweep: ${nameOf(path)}`, bestLine(content), sweepMarkdownTable(content), ...plot);
  }
  const sources = [...collected.results, ...collected.comparisons, ...collected.sweeps].map(({ path }) => `- ${path}`);
  sections.push('## Sources', sources.join('\n'));
  if (collected.leftOut.length > 0) sections.push('## Left out', bullets(collected.leftOut.map(({ path, content }) => `${path}: ${content}`)));
  files.set('report.md', `${sections.join('\n\n')}\n`);
  const names = ['report.md', ...[...files.keys()].filter((name) => name !== 'report.md')];
  for (const name of names) await writeFileAtomic(join(folder, name), files.get(name)!);
  return names.map((name) => join(folder, name));
}

/** The folder of a report that has the name of its kind; else the file itself. */
function nameOf(path: string): string {
  return ['report.json', 'sweep.json'].includes(basename(path)) ? dirname(path) : path.replace(/\.json$/, '');
}

const HOW_TO_READ =
  '± is one standard error. Bold is the best value among results of the same task, data, routing and number of samples. Under decode routing each token gets the ' +
  'expert with the highest of its own scores, as in generation; under prefill routing experts choose tokens from the whole text, later tokens ' +
  'influence earlier ones, and likelihoods are not strictly autoregressive.';
