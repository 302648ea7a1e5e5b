/** Fonts of drawings; a reader may have any of them. */
export const FONT = 'Inter, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif';
export const MONO = '"DejaVu Sans Mono", Menlo, Consolas, monospace';

/** Width of a character in the monospaced font of 13 px. */
const CHARACTER = 7.85;

export interface PlacedToken {
  /** Place of the token in the text. */
  index: number;
  /** As it is drawn. */
  text: string;
  x: number;
  width: number;
}

/** Sets tokens side by side, in monospaced letters of `size` px, in as many lines as they take. */
export function placeTokens(tokens: readonly string[], { from, to, size = 13 }: { from: number; to: number; size?: number }): PlacedToken[][] {
  const lines: PlacedToken[][] = [[]];
  let x = from;
  tokens.forEach((token, index) => {
    const text = visible(token);
    const width = ([...text].length * CHARACTER * size) / 13 + 6;
    if (x + width > to && lines.at(-1)!.length > 0) {
      lines.push([]);
      x = from;
    }
    lines.at(-1)!.push({ index, text, x, width });
    x += width;
  });
  return lines;
}

/** Spaces and line ends made visible, since a token often is one; what XML cannot hold becomes a box. */
export function visible(token: string): string {
  return token.replaceAll('\n', '↵').replaceAll(' ', '·').replace(/[\u0000-\u001f\u007f-\u009f\ufffe\uffff]|\p{Surrogate}/gu, '□') || '□';
}

export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
