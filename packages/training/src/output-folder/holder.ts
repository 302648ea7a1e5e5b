import { randomUUID } from 'node:crypto';

import { type Owner, thisProcess } from '@mixsga/models';

/** A process that holds a lock, or held it. Plain data. */
export interface Holder extends Owner {
  /** Of this one lock. */
  readonly id: string;
  /** When it took the lock, ISO 8601. */
  readonly since: string;
  readonly command: string;
}

/** Characters of a command line that are written down. */
const COMMAND_LENGTH = 300;

/** This process, about to take a lock. */
export function newHolder(): Holder {
  return {
    id: randomUUID(),
    ...thisProcess(),
    since: new Date().toISOString(),
    command: ['mixsga', ...process.argv.slice(2)].join(' ').slice(0, COMMAND_LENGTH),
  };
}
