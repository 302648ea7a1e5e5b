import type { RoutedSentence } from '@mixsga/training';

import { percent } from '../format';
import { expertColours } from './palette';
import { escape, FONT, MONO, placeTokens, type PlacedToken, round } from './svg-text';

const WIDTH = 760;
const MARGIN = 24;
const GUTTER = 62; // layer names
const CELL = 11; // height of a layer's row
const TEXT = 22; // height of the words above the cells
const LINE_GAP = 18;

/**
 * A sentence as a strip: under each token a box for every layer, in the colour of the expert that the token has
 * there. Long sentences go on in further lines.
 *
 * @returns an SVG document
 */
export function sentenceStrip({ method, routing, tokens, experts, groupSizes }: RoutedSentence): string {
  const colours = expertColours(groupSizes.length);
  const lines = placeTokens(tokens, { from: MARGIN + GUTTER, to: WIDTH - MARGIN });
  const top = 92;
  const lineHeight = TEXT + experts.length * CELL + LINE_GAP;
  const height = top + lines.length * lineHeight + MARGIN - LINE_GAP;
  const body = lines.map((line, row) => drawLine(line, top + row * lineHeight, experts, colours)).join('\n');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family='${FONT}' role="img" aria-label="${escape(`A sentence coloured by expert, ${method}`)}">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="${MARGIN}" y="36" font-size="16" font-weight="600">Which expert each token gets</text>
<text x="${MARGIN}" y="56" font-size="12" fill="#555">${escape(`${method}, ${routing} routing; one row of boxes for each layer, the first on top`)}</text>
${drawLegend(groupSizes, colours, 68)}
${body}
</svg>
`;
}

function drawLine(line: readonly PlacedToken[], y: number, experts: RoutedSentence['experts'], colours: readonly string[]): string {
  const layers = experts.map((_, layer) => {
    const name = layer === 0 || layer === experts.length - 1 ? `layer ${layer + 1}` : '';
    return name && `<text x="${MARGIN + GUTTER - 10}" y="${y + TEXT + layer * CELL + 9}" font-size="10" fill="#666" text-anchor="end">${name}</text>`;
  });
  const tokens = line.map(({ index, text, x, width }) => {
    const word = `<text x="${round(x + width / 2)}" y="${y + 14}" font-size="13" font-family='${MONO}' text-anchor="middle" xml:space="preserve">${escape(text)}</text>`;
    const boxes = experts.map((row, layer) => {
      const expert = row[index]!;
      return `<rect x="${round(x + 0.75)}" y="${y + TEXT + layer * CELL + 0.5}" width="${round(width - 1.5)}" height="${CELL - 1}" rx="1.5" fill="${colours[expert]}" stroke="#0000001a" data-expert="${expert}"/>`;
    });
    return `<g>${word}${boxes.join('')}</g>`;
  });
  return [...layers.filter(Boolean), ...tokens].join('\n');
}

function drawLegend(groupSizes: readonly number[], colours: readonly string[], y: number): string {
  let x = MARGIN;
  return groupSizes
    .map((size, e) => {
      const label = size === 1 ? 'all KV heads' : `groups of ${size}: ${percent(1 / size)} of the KV`;
      const swatch = `<rect x="${x}" y="${y}" width="14" height="14" rx="2" fill="${colours[e]}" stroke="#0000001a"/>`;
      const text = `<text x="${x + 20}" y="${y + 11.5}" font-size="12" fill="#333">${label}</text>`;
      x += 20 + label.length * 6.6 + 22;
      return swatch + text;
    })
    .join('\n');
}
