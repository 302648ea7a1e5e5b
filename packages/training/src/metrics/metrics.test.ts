import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileError } from '@mixsga/backend';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { crc32c, maskedCrc32c } from './crc32c';
import { JsonlWriter } from './jsonl';
import { TensorBoardWriter } from './tensorboard';
import { readRecord } from './tfrecord';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mixsga-metrics-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('crc32c', () => {
  test('vectors of RFC 3720, appendix B.4', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  });

  test('the mask rotates by 15 bits and adds a constant', () => {
    const crc = 0xe3069283n;
    const expected = (((crc >> 15n) | (crc << 17n)) + 0xa282ead8n) & 0xffffffffn;
    expect(maskedCrc32c(Buffer.from('123456789'))).toBe(Number(expected));
  });
});

describe('JsonlWriter', () => {
  const steps = (path: string): number[] =>
    readFileSync(path, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { step: number }).step);

  test('a resumed run has each row once', () => {
    const path = join(folder, 'run', 'metrics.jsonl');
    const first = new JsonlWriter(path, 0);
    for (let step = 1; step <= 5; step++) first.write({ kind: 'train', step, loss: 7 - step });
    first.write({ kind: 'validation', step: 3, perplexity: 12.5 }); // the same step, another kind
    first.close();
    const resumed = new JsonlWriter(path, 4);
    resumed.write({ step: 5, loss: 2 });
    resumed.close();
    expect(steps(path)).toEqual([1, 2, 3, 4, 5]);
    expect(readFileSync(path, 'utf8').split('\n')[1]).toBe('{"kind":"train","step":2,"loss":5}');
  });

  test('what a kill left half-written goes', () => {
    const path = join(folder, 'metrics.jsonl');
    writeFileSync(path, '{"step":1}\n{"step":2}\n{"st');
    const writer = new JsonlWriter(path, 9);
    writer.write({ step: 3 });
    writer.close();
    expect(steps(path)).toEqual([1, 2, 3]);
  });

  test('a run from the start empties the file', () => {
    const path = join(folder, 'metrics.jsonl');
    writeFileSync(path, '{"step":0}\n{"step":2}\n');
    new JsonlWriter(path, 0).close();
    expect(readFileSync(path, 'utf8')).toBe('');
  });

  test('a folder that is a file', () => {
    writeFileSync(join(folder, 'file'), '');
    expect(() => new JsonlWriter(join(folder, 'file', 'metrics.jsonl'), 0)).toThrow(FileError);
  });
});

describe('TensorBoardWriter', () => {
  const eventFile = (): string => {
    const names = readdirSync(folder);
    expect(names).toHaveLength(1);
    expect(names[0]).toMatch(/^events\.out\.tfevents\.\d{10}\./);
    return join(folder, names[0]!);
  };
  const records = (): Buffer[] => {
    const file = readFileSync(eventFile());
    const found: Buffer[] = [];
    for (let offset = 0; offset < file.length; ) {
      const record = readRecord(file, offset);
      expect(record).not.toBeNull();
      found.push(record!.data);
      offset = record!.end;
    }
    return found;
  };
  const write = (from: number, to: number, truncateAfter: number): void => {
    const writer = new TensorBoardWriter(folder, truncateAfter);
    for (let step = from; step <= to; step++) writer.write(step, { 'train/loss': 10 / step });
    writer.close();
  };

  test('events in the wire format', () => {
    const writer = new TensorBoardWriter(folder, 0);
    writer.write(300, { 'train/loss': 0.5, 'train/α': -2 });
    writer.close();
    const [version, scalars] = records();
    // Field 1 (wall_time, fixed64), then field 3 (file_version, bytes).
    expect(version!.readDoubleLE(1) * 1000).toBeGreaterThan(Date.now() - 60_000);
    expect(version!.subarray(9).toString('latin1')).toBe('\x1a\x0dbrain.Event:2');
    const value = (tag: string, float: string): string => {
      const content = `0a${Buffer.from([Buffer.byteLength(tag)]).toString('hex')}${Buffer.from(tag).toString('hex')}15${float}`;
      return `0a${Buffer.from([content.length / 2]).toString('hex')}${content}`;
    };
    const summary = value('train/loss', '0000003f') + value('train/α', '000000c0');
    expect(scalars![0]).toBe(0x09);
    expect(scalars!.subarray(9).toString('hex')).toBe(
      `10ac022a${Buffer.from([summary.length / 2]).toString('hex')}${summary}`, // step 300 = ac 02
    );
  });

  test('a resumed run has each event once, in one file', () => {
    write(1, 200, 0);
    appendFileSync(eventFile(), Buffer.from([1, 2, 3])); // an event that a kill cut
    write(150, 160, 149);
    const kept = records();
    expect(kept).toHaveLength(1 + 160);
    expect(kept.at(-1)!.subarray(9, 12).toString('hex')).toBe('10a001'); // step 160
    write(161, 161, 160);
    expect(records()).toHaveLength(1 + 161);
  });

  test('a cut event goes, a damaged one with all that follows', () => {
    write(1, 10, 0);
    const path = eventFile();
    const size = readFileSync(path).length;
    truncateSync(path, size - 5);
    write(10, 10, 10);
    expect(records()).toHaveLength(11);
    const bytes = readFileSync(path);
    bytes[Math.floor(size / 2)]! ^= 1;
    writeFileSync(path, bytes);
    write(10, 10, 10);
    expect(records().length).toBeLessThan(11);
  });

  test('a run from the start empties the file', () => {
    write(1, 10, 0);
    write(1, 2, 0);
    expect(records()).toHaveLength(3);
  });
});
