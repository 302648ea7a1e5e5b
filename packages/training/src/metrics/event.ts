/**
 * The few fields of TensorFlow's `Event` message that scalars need, in Protocol Buffers' wire format:
 * Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5 },
 * Summary { repeated Value value = 1 }, Value { string tag = 1; float simple_value = 2 }.
 */

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** The first event of a file: which format the others have. */
export function encodeVersion(wallTime: number): Buffer {
  return Buffer.concat([double(1, wallTime), bytes(3, Buffer.from('brain.Event:2'))]);
}

/** An event of scalars by tag. */
export function encodeScalars(wallTime: number, step: number, scalars: Readonly<Record<string, number>>): Buffer {
  const values = Object.entries(scalars).map(([tag, value]) =>
    bytes(1, Buffer.concat([bytes(1, Buffer.from(tag)), float(2, value)])),
  );
  return Buffer.concat([double(1, wallTime), tagOf(2, WIRE.varint), varint(step), bytes(5, Buffer.concat(values))]);
}

/** The step of an event that this module wrote; 0 where it has none. */
export function decodeStep(event: Buffer): number {
  const stepAt = 1 + 8; // after the wall time
  if (event[stepAt] !== tagOf(2, WIRE.varint)[0]) return 0;
  let step = 0;
  for (let i = stepAt + 1, scale = 1; i < event.length; i++, scale *= 128) {
    step += (event[i]! & 0x7f) * scale;
    if (event[i]! < 0x80) break;
  }
  return step;
}

function tagOf(field: number, wire: number): Buffer {
  return Buffer.from([(field << 3) | wire]);
}

function varint(value: number): Buffer {
  const digits: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) digits.push((value % 128) | 0x80);
  return Buffer.from([...digits, value]);
}

function double(field: number, value: number): Buffer {
  const content = Buffer.alloc(8);
  content.writeDoubleLE(value);
  return Buffer.concat([tagOf(field, WIRE.fixed64), content]);
}

function float(field: number, value: number): Buffer {
  const content = Buffer.alloc(4);
  content.writeFloatLE(value);
  return Buffer.concat([tagOf(field, WIRE.fixed32), content]);
}

function bytes(field: number, content: Buffer): Buffer {
  return Buffer.concat([tagOf(field, WIRE.bytes), varint(content.length), content]);
}
