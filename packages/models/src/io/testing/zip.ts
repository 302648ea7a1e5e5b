/** Little-endian fields: [bytes, value]. */
type Field = readonly [bytes: 1 | 2 | 4 | 8, value: number];

/** A zip archive of stored entries, as torch.save makes them: each entry's data at a multiple of 64 bytes. */
export function zipOf(
  entries: ReadonlyMap<string, Uint8Array>, { zip64 = false, method = 0, flags = 0x800 } = {},
): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let position = 0;
  for (const [name, data] of entries) {
    const bytes = new TextEncoder().encode(name);
    const padding = (64 - ((position + 34 + bytes.length) % 64)) % 64;
    const common: Field[] = [[2, 20], [2, flags], [2, method], [4, 0], [4, 0]];
    const local = record([[4, 0x04034b50], ...common, [4, data.length], [4, data.length], [2, bytes.length], [2, 4 + padding]]);
    const extra = record([[2, 0x4246], [2, padding], ...Array.from({ length: padding }, (): Field => [1, 0x5a])]);
    const wide: Field[] = zip64 ? [[2, 1], [2, 24], [8, data.length], [8, data.length], [8, position]] : [];
    const [size, offset] = zip64 ? [0xffffffff, 0xffffffff] : [data.length, position];
    const central = record([
      [4, 0x02014b50], [2, 20], ...common, [4, size], [4, size],
      [2, bytes.length], [2, zip64 ? 28 : 0], [2, 0], [2, 0], [2, 0], [4, 0], [4, offset],
    ]);
    directory.push(central, bytes, record(wide));
    for (const part of [local, bytes, extra, data]) {
      parts.push(part);
      position += part.length;
    }
  }
  const directoryBytes = directory.reduce((sum, { length }) => sum + length, 0);
  const count = entries.size;
  if (zip64) {
    const end = position + directoryBytes;
    const counts: Field[] = [[8, count], [8, count], [8, directoryBytes], [8, position]];
    directory.push(record([[4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], ...counts]));
    directory.push(record([[4, 0x07064b50], [4, 0], [8, end], [4, 1]]));
  }
  const [entriesField, sizeField, positionField] = zip64 ? [0xffff, 0xffffffff, 0xffffffff] : [count, directoryBytes, position];
  directory.push(record([[4, 0x06054b50], [2, 0], [2, 0], [2, entriesField], [2, entriesField], [4, sizeField], [4, positionField], [2, 0]]));
  return new Uint8Array(Buffer.concat([...parts, ...directory]));
}

function record(fields: readonly Field[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [bytes, value] of fields) {
    if (bytes === 1) view.setUint8(at, value);
    if (bytes === 2) view.setUint16(at, value, true);
    if (bytes === 4) view.setUint32(at, value, true);
    if (bytes === 8) view.setBigUint64(at, BigInt(value), true);
    at += bytes;
  }
  return new Uint8Array(view.buffer);
}
