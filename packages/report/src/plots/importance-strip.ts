import { escape, FONT, MONO, placeTokens, type PlacedToken, round } from './svg-text';

const WIDTH = 760;
const MARGIN = 24;
const GUTTER = 46; // values of the scale
const BARS = 54; // height of the bars of the largest changes, both directions together
const WORDS = 18; // height of the tokens below
const LINE_GAP = 14;
const TOP = 124;
const SIZE = 11;
/** More and less perplexity, of Okabe and Ito's colours. */
const COLOURS = { more: '#D55E00', less: '#0072B2' };

/** A window whose tokens were collapsed in turn. */
export interface ImportanceWindow {
  /** Of the window as it is. */
  readonly perplexity: number;
  readonly tokens: readonly string[];
  /** Relative change of the window's perplexity for each token: 0.02 for 2 % more. */
  readonly changes: readonly number[];
}

/**
 * The paper's Figure 1: over each token of a window a bar, how much the window's perplexity changes when this token's keys and
 * values are averaged over all heads. All bars have one scale.
 *
 * @returns an SVG document
 */
export function importanceStrip(name: string, { perplexity, tokens, changes }: ImportanceWindow): string {
  const lines = placeTokens(tokens, { from: MARGIN + GUTTER, to: WIDTH - MARGIN, size: SIZE });
  const high = Math.max(0, ...changes);
  const low = Math.min(0, ...changes);
  const scale = BARS / (high - low || 1);
  const lineHeight = BARS + WORDS + LINE_GAP;
  const height = TOP + lines.length * lineHeight + MARGIN - LINE_GAP;
  const body = lines.map((line, row) => drawLine(line, TOP + row * lineHeight, changes, { high, low, scale })).join('\n');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family='${FONT}' role="img" aria-label="${escape(`Token importance, ${name}`)}">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="${MARGIN}" y="36" font-size="16" font-weight="600">How much each token's own heads matter</text>
<text x="${MARGIN}" y="56" font-size="12" fill="#555">${escape(`${name}; perplexity of the window: ${perplexity.toFixed(2)}`)}</text>
<text x="${MARGIN}" y="73" font-size="12" fill="#555">its change when the keys and values of one token are averaged over all heads, token by token</text>
${drawLegend()}
${body}
</svg>
`;
}

function drawLine(
  line: readonly PlacedToken[],
  y: number,
  changes: readonly number[],
  { high, low, scale }: { high: number; low: number; scale: number },
): string {
  const zero = y + high * scale;
  const end = round(line.at(-1)!.x + line.at(-1)!.width);
  const axis = (value: number) => {
    const at = round(y + (high - value) * scale);
    const label = `<text x="${MARGIN + GUTTER - 8}" y="${at + 3.5}" font-size="10" fill="#666" text-anchor="end">${changeText(value)}</text>`;
    return `<line x1="${MARGIN + GUTTER}" x2="${end}" y1="${at}" y2="${at}" stroke="${value === 0 ? '#999' : '#ececec'}"/>${label}`;
  };
  // A value too near to zero for a label of its own gets none.
  const marked = [high, low].filter((value) => Math.abs(value) * scale >= 11);
  const tokens = line.map(({ index, text, x, width }) => {
    const change = changes[index]!;
    const [top, tall] = [change > 0 ? zero - change * scale : zero, Math.abs(change) * scale];
    const title = `<title>${escape(`${text}: ${changeText(change)}`)}</title>`;
    const bar = `<rect x="${round(x + 1.5)}" y="${round(top)}" width="${round(width - 3)}" height="${round(tall)}" fill="${change > 0 ? COLOURS.more : COLOURS.less}"/>`;
    const word = `<text x="${round(x + width / 2)}" y="${y + BARS + 13}" font-size="${SIZE}" font-family='${MONO}' text-anchor="middle" xml:space="preserve">${escape(text)}</text>`;
    return `<g>${title}${bar}${word}</g>`;
  });
  return [...marked.map(axis), ...tokens, axis(0)].join('\n');
}

function drawLegend(): string {
  const entries = [
    [COLOURS.more, 'more perplexity: the token needs its own heads'],
    [COLOURS.less, 'less perplexity'],
  ] as const;
  return entries
    .map(([colour, label], i) => {
      const x = MARGIN + i * 340;
      return `<rect x="${x}" y="88" width="14" height="14" rx="2" fill="${colour}"/><text x="${x + 20}" y="99.5" font-size="12" fill="#333">${label}</text>`;
    })
    .join('\n');
}

/** `+1.2 %`, with as many digits as tell it from zero. */
function changeText(change: number): string {
  const percent = 100 * change;
  const digits = Math.abs(percent) >= 10 ? 0 : Math.abs(percent) >= 0.1 || percent === 0 ? 1 : 3;
  return percent === 0 ? '0' : `${percent > 0 ? '+' : '−'}${Math.abs(percent).toFixed(digits)} %`;
}
