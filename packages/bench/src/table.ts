/** Rows of text with aligned columns, a heading row first. @param numbers columns that stand to the right */
export function alignedTable(rows: readonly string[][], numbers: readonly number[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const cell = (text: string, c: number) => (numbers.includes(c) ? text.padStart(widths[c]!) : text.padEnd(widths[c]!));
  return rows.map((row) => row.map(cell).join('  ').trimEnd()).join('\n');
}

/** 1.5 as `1.50 ×`. */
export function times(ratio: number): string {
  return `${ratio.toFixed(2)} ×`;
}
