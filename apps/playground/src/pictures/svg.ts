const FONT = 'system-ui, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif';
export const MONO = 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace';

/** An SVG document on white. */
export function svgDocument(width: number, height: number, label: string, body: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family='${FONT}' role="img" aria-label="${escapeXml(label)}">
<rect width="100%" height="100%" fill="#ffffff"/>
${body.join('\n')}
</svg>
`;
}

/** What XML cannot hold becomes a box. */
export function escapeXml(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000b-\u001f\ufffe\uffff]|\p{Surrogate}/gu, '□')
    .replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
