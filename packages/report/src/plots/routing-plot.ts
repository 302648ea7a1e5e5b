import { expertColours } from './palette';
import { renderChart } from './render';
import { visible } from './svg-text';

/** Tokens that are drawn: the most frequent. */
const TOKENS = 30;
const RULES = ['decode', 'prefill'] as const;
const RULE_TITLES = { decode: 'decode routing', prefill: 'prefill routing' };

/** How a model routed a text, as the evaluator `routing` tells it. */
export interface RoutingDetails {
  readonly groupSizes: readonly number[];
  readonly windowLength: number;
  /** By layer that routes, first layer first: share of the tokens of each expert. */
  readonly perLayer: readonly { readonly ratios: Readonly<Record<(typeof RULES)[number], readonly number[]>> }[];
  /** The same over equal parts of a window; null for a part that no window reached. */
  readonly overPosition: Readonly<Record<(typeof RULES)[number], readonly (readonly number[] | null)[]>>;
  /** The most frequent tokens, under decode. */
  readonly byToken: readonly { readonly text?: string; readonly id: number; readonly count: number; readonly ratios: readonly number[] }[];
}

/** Shares of the experts over the positions of a window and by layer, under both rules: four panels of stacked bars. */
export function routingPlot(name: string, details: RoutingDetails): Promise<string> {
  const { perLayer, overPosition, windowLength } = details;
  const panels = RULES.map((rule) => {
    const positions = overPosition[rule].flatMap((ratios, bin) => {
      const size = windowLength / overPosition[rule].length;
      return ratios === null ? [] : stacked(ratios, details, { from: bin * size, to: (bin + 1) * size });
    });
    const layers = perLayer.flatMap(({ ratios }, layer) => stacked(ratios[rule], details, { layer: String(layer + 1) }));
    return {
      spacing: 36,
      hconcat: [
        {
          width: 300,
          height: 150,
          title: { text: `over position, ${RULE_TITLES[rule]}`, fontSize: 12, offset: 8 },
          data: { values: positions },
          mark: { type: 'rect' as const, stroke: '#ffffff', strokeWidth: 0.5 },
          encoding: {
            x: { field: 'from', type: 'quantitative' as const, scale: { domain: [0, windowLength], nice: false }, axis: { title: 'position in the window', grid: false, values: [0, 0.25, 0.5, 0.75, 1].map((part) => Math.round(part * windowLength)) } },
            x2: { field: 'to' },
            y: { field: 'low', type: 'quantitative' as const, scale: { domain: [0, 1] }, axis: shareAxis('tokens') },
            y2: { field: 'high' },
            color: colourOf(details),
          },
        },
        {
          width: 260,
          height: 150,
          title: { text: `by layer, ${RULE_TITLES[rule]}`, fontSize: 12, offset: 8 },
          data: { values: layers },
          mark: { type: 'bar' as const, stroke: '#ffffff', strokeWidth: 0.5 },
          encoding: {
            x: { field: 'layer', type: 'ordinal' as const, sort: null, axis: { title: 'layer', labelAngle: 0, labelOverlap: true } },
            y: { field: 'low', type: 'quantitative' as const, scale: { domain: [0, 1] }, axis: shareAxis(null) },
            y2: { field: 'high' },
            color: colourOf(details),
          },
        },
      ],
    };
  });
  return renderChart({
    title: { text: 'Which share of the tokens each expert gets', subtitle: name },
    spacing: 28,
    vconcat: panels,
  });
}

/** Which experts the most frequent tokens get under decode, those that cost the most first. */
export function tokenExpertsPlot(name: string, details: RoutingDetails): Promise<string> {
  const { groupSizes } = details;
  const cost = (ratios: readonly number[]) => ratios.reduce((sum, ratio, e) => sum + ratio / groupSizes[e]!, 0);
  const tokens = details.byToken.slice(0, TOKENS).toSorted((a, b) => cost(b.ratios) - cost(a.ratios));
  // Two tokens may read alike.
  const labels = tokens.map(({ text, id, count }, i) => {
    const read = text === undefined ? `token ${id}` : visible(text);
    const twin = tokens.some((other, j) => j !== i && other.text === text && other.count === count);
    return `${read}   ${count.toLocaleString('en')}×${twin ? ` (${id})` : ''}`;
  });
  const rows = tokens.flatMap(({ ratios }, i) => stacked(ratios, details, { token: labels[i]! }));
  return renderChart({
    width: 420,
    height: { step: 17 },
    title: { text: 'Which experts the most frequent tokens get', subtitle: [name, 'decode routing, all layers together; beside each token how often it stands in the text'] },
    data: { values: rows },
    mark: { type: 'bar', stroke: '#ffffff', strokeWidth: 0.5 },
    encoding: {
      y: { field: 'token', type: 'nominal', sort: labels, axis: { title: null, ticks: false, domain: false, labelFont: 'DejaVu Sans Mono, Menlo, Consolas, monospace', labelFontSize: 11, labelLimit: 300, labelPadding: 8 } },
      x: { field: 'low', type: 'quantitative', scale: { domain: [0, 1] }, axis: shareAxis('decisions for the token') },
      x2: { field: 'high' },
      color: colourOf(details),
    },
  });
}

/** Where each expert's part of a stack begins and ends, the costliest at the beginning. */
function stacked(ratios: readonly number[], details: RoutingDetails, place: object): object[] {
  const labels = expertLabels(details);
  let low = 0;
  return ratios.map((ratio, e) => {
    const part = { ...place, expert: labels[e]!, low, high: low + ratio };
    low += ratio;
    return part;
  });
}

function colourOf(details: RoutingDetails) {
  const domain = expertLabels(details);
  return { field: 'expert', type: 'nominal' as const, scale: { domain, range: expertColours(domain.length) }, legend: { title: 'expert', symbolType: 'square' as const, symbolStrokeWidth: 0 } };
}

function expertLabels({ groupSizes }: RoutingDetails): string[] {
  return groupSizes.map((size) => (size === 1 ? 'all KV heads' : `groups of ${size}`));
}

function shareAxis(of: string | null) {
  return { title: of && `share of the ${of}`, format: '.0%', values: [0, 0.25, 0.5, 0.75, 1] };
}
