import { renderChart } from './render';

/** The mean score of samples of one length and depth. */
export interface RetrievalCell {
  readonly task: string;
  /** Tokens. */
  readonly length: number;
  /** From 0, the beginning of the haystack, to 1; null where answers are in no single place. */
  readonly depth: number | null;
  /** From 0 to 1. */
  readonly score: number;
  readonly samples: number;
}

/** From not found to found: the darker the better, to any eye and in a grey print. */
const COLOURS = ['#F3E9D2', '#7D96A6', '#0B3C6F'];

/** Heat maps of depth by length, one for each task whose answers have a place; null where none has. */
export async function retrievalPlot(name: string, cells: readonly RetrievalCell[]): Promise<string | null> {
  const placed = cells.flatMap(({ depth, length, ...cell }) => (depth === null ? [] : { ...cell, depth: percent(depth), length: length.toLocaleString('en'), tokens: length }));
  if (placed.length === 0) return null;
  const lengths = [...new Set(placed.toSorted((a, b) => a.tokens - b.tokens).map(({ length }) => length))];
  const depths = [...new Set(cells.flatMap(({ depth }) => depth ?? []))].sort((a, b) => a - b).map(percent);
  const position = {
    x: { field: 'length', type: 'ordinal' as const, sort: lengths, axis: { title: 'tokens of prompt and answer', labelAngle: 0 } },
    y: { field: 'depth', type: 'ordinal' as const, sort: depths, axis: { title: 'depth of the answer' } },
  };
  return renderChart({
    title: { text: 'What is found, by length and depth', subtitle: [name, 'mean score, from 0 (not found) to 100'] },
    spacing: 28,
    columns: 3,
    concat: [...new Set(placed.map(({ task }) => task))].map((task) => ({
      title: { text: task, fontSize: 12, offset: 8 },
      width: { step: 52 },
      height: { step: 22 },
      data: { values: placed.filter((cell) => cell.task === task) },
      encoding: position,
      layer: [
        {
          mark: { type: 'rect' as const, stroke: '#ffffff', strokeWidth: 1 },
          encoding: { color: { field: 'score', type: 'quantitative' as const, scale: { domain: [0, 0.5, 1], range: COLOURS }, legend: null } },
        },
        {
          mark: { type: 'text' as const, fontSize: 11 },
          encoding: {
            text: { value: { expr: 'format(100 * datum.score, ".0f")' } },
            color: { condition: { test: 'datum.score > 0.45', value: '#ffffff' }, value: '#333333' },
          },
        },
      ],
    })),
  });
}

function percent(depth: number): string {
  return `${Number((100 * depth).toFixed(1))} %`;
}
