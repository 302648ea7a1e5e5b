/** Rows of text, a heading row first, for the terminal: columns aligned, numbers to the right of the first `left` columns. */
export function alignedRows(rows: readonly string[][], left = 1): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: string[]) =>
    row.map((cell, column) => (column < left ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join('  ').trimEnd();
  const rule = widths.map((width) => '─'.repeat(width)).join('  ');
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join('\n');
}

/** The same as a Markdown table. */
export function markdownRows(rows: readonly string[][], left = 1): string {
  const line = (row: string[]) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = `|${rows[0]!.map((_, column) => (column < left ? ' --- |' : ' ---: |')).join('')}`;
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join('\n');
}
