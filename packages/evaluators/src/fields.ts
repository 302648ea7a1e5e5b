import { FileError } from '@mixsga/backend';

import type { DataRow } from './evaluator';

/** The fields of a row, each checked as it is read. */
export interface Fields {
  readonly all: Readonly<Record<string, unknown>>;
  text(name: string): string;
  texts(name: string): string[];
  /** A field that holds fields. */
  object(name: string): Fields;
}

/** @throws FileError that names the row and the field, here and when a field is read that is missing or of another kind */
export function fieldsOf({ value, where }: DataRow, path = ''): Fields {
  if (!isObject(value)) throw new FileError(where, `expected ${path === '' ? 'an object' : `an object in '${path}'`}, got ${shown(value)}`);
  const field = (name: string) => (path === '' ? name : `${path}.${name}`);
  const refuse = (name: string, expected: string) => new FileError(where, `expected ${expected} in '${field(name)}', got ${shown(value[name])}`);
  return {
    all: value,
    text(name) {
      const text = value[name];
      if (typeof text === 'string') return text;
      throw refuse(name, 'a text');
    },
    texts(name) {
      const texts = value[name];
      if (Array.isArray(texts) && texts.length > 0 && texts.every((text) => typeof text === 'string')) return texts;
      throw refuse(name, 'a list of texts');
    },
    object: (name) => fieldsOf({ value: value[name], where }, field(name)),
  };
}

/** A value in a message. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = typeof value === 'bigint' || typeof value === 'number' ? String(value) : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
