// The views of a run as SVG documents, in the light colours.
import { formatBytes, formatPercent, visible } from '../state/format';
import { meterRows } from '../state/meter';
import { expertTone, toneOf } from '../state/palette';
import type { RunView } from '../state/run-view';
import { escapeXml, MONO, round, svgDocument } from './svg';

const WIDTH = 860;
const MARGIN = 28;
const INK = '#1d1f23';
const SOFT = '#5b6068';

export const pictures = { text: textPicture, map: mapPicture, meter: meterPicture } as const;
export type PictureName = keyof typeof pictures;

/** The prompt and the text, each token with its mark; of one layer, or the mean over layers. */
function textPicture(run: RunView, layer: number | null): string {
  const size = 7.85;
  const lineHeight = 30;
  const body = heading('What is kept of each token', `${run.variant.attention}, ${layer === null ? 'mean over layers' : `layer ${layer + 1}`}`, run);
  let [x, y] = [MARGIN, 112];
  run.tokens.forEach(({ text }, token) => {
    const shown = visible(text);
    const width = [...shown].length * size;
    if (x + width > WIDTH - MARGIN && x > MARGIN) [x, y] = [MARGIN, y + lineHeight];
    const share = run.share(layer, token);
    if (share !== null) {
      const height = round(20 * share);
      body.push(`<rect x="${round(x)}" y="${round(y + 5 - height)}" width="${round(width)}" height="${height}" fill="${toneOf(run, layer, token, 'light')}"/>`);
    }
    const ink = token < run.promptLength ? SOFT : INK;
    body.push(`<text x="${round(x)}" y="${y}" font-size="13" font-family='${MONO}' fill="${ink}" textLength="${round(width)}" xml:space="preserve">${escapeXml(shown)}</text>`);
    x += width;
    if (text.includes('\n')) [x, y] = [MARGIN, y + lineHeight];
  });
  return svgDocument(WIDTH, y + MARGIN, `Text of ${run.variant.attention}`, body);
}

function mapPicture(run: RunView): string {
  const left = MARGIN + 54;
  const cell = { width: Math.max(2, (WIDTH - MARGIN - left) / Math.max(1, run.known)), height: run.layers <= 8 ? 26 : 14 };
  const body = heading('Experts by layer and position', run.variant.attention, run);
  const top = 96;
  for (let layer = 0; layer < run.layers; layer++) {
    const bottom = top + (layer + 1) * cell.height - 2;
    if (layer === 0 || layer === run.layers - 1) {
      body.push(`<text x="${left - 8}" y="${bottom - cell.height / 2 + 6}" font-size="11" fill="${SOFT}" text-anchor="end">layer ${layer + 1}</text>`);
    }
    for (let token = 0; token < run.known; token++) {
      const height = Math.max(1, (cell.height - 4) * run.share(layer, token)!);
      const fill = toneOf(run, layer, token, 'light');
      body.push(
        `<rect x="${round(left + token * cell.width)}" y="${round(bottom - height)}" width="${round(cell.width * 0.86)}" height="${round(height)}" fill="${fill}"/>`,
      );
    }
  }
  const end = top + run.layers * cell.height;
  const split = round(left + run.promptLength * cell.width);
  body.push(`<path d="M${split} ${top - 4}V${end + 4}" stroke="${INK}" stroke-dasharray="2 3"/>`);
  body.push(`<text x="${split + 5}" y="${end + 16}" font-size="11" fill="${SOFT}">generated</text>`);
  const width = Math.max(WIDTH, Math.ceil(left + run.known * cell.width + MARGIN));
  return svgDocument(width, end + MARGIN, `Experts of ${run.variant.attention} by layer and position`, body);
}

function meterPicture(run: RunView): string {
  const { rows, scale, reserved } = meterRows(run);
  const left = MARGIN + 210;
  const room = WIDTH - MARGIN - 120 - left;
  const body = heading('KV cache', `${run.variant.attention}, ${run.cache?.tokensSeen ?? 0} tokens`, null);
  rows.forEach(({ label, bytes, share, isOwn }, i) => {
    const y = 84 + i * 34;
    body.push(`<text x="${left - 12}" y="${y + 15}" font-size="13" fill="${INK}" text-anchor="end">${escapeXml(label)}</text>`);
    if (isOwn) body.push(`<rect x="${left}" y="${y}" width="${round((room * reserved) / scale)}" height="22" fill="none" stroke="${SOFT}" stroke-dasharray="3 3"/>`);
    body.push(`<rect x="${left}" y="${y}" width="${round((room * bytes) / scale)}" height="22" fill="${isOwn ? expertTone(0, 1, 'light') : '#c9cdd3'}"/>`);
    const value = formatBytes(bytes) + (share === null ? '' : ` (${formatPercent(share)})`);
    body.push(`<text x="${round(left + room + 10)}" y="${y + 15}" font-size="13" fill="${INK}">${value}</text>`);
  });
  body.push(`<text x="${left}" y="${84 + rows.length * 34 + 12}" font-size="11" fill="${SOFT}">dashed: ${formatBytes(reserved)} reserved, in pages of 32 tokens</text>`);
  return svgDocument(WIDTH, 84 + rows.length * 34 + MARGIN + 8, `KV cache of ${run.variant.attention}`, body);
}

function heading(title: string, subtitle: string, run: RunView | null): string[] {
  const parts = [
    `<text x="${MARGIN}" y="38" font-size="18" font-weight="600" fill="${INK}">${escapeXml(title)}</text>`,
    `<text x="${MARGIN}" y="58" font-size="12" fill="${SOFT}">${escapeXml(subtitle)}</text>`,
  ];
  if (!run || run.kept.length < 2) return parts;
  let x = MARGIN;
  run.kept.forEach(({ share, text: label }, expert) => {
    parts.push(`<rect x="${x}" y="${round(84 - 14 * share)}" width="14" height="${round(14 * share)}" fill="${expertTone(expert, run.kept.length, 'light')}"/>`);
    parts.push(`<text x="${x + 20}" y="82" font-size="12" fill="${INK}">${label}</text>`);
    x += 40 + label.length * 6.4;
  });
  return parts;
}
