import type { EvictionKind } from './policy';

/** Keeps every token: the default. */
export const none: EvictionKind = {
  form: 'none',
  example: 'none',
  parse: (argument) => (argument === null ? () => null : null),
};
