import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** A process that holds a lock, or held it. Plain data. */
export interface Holder {
  /** Of this one lock. */
  readonly id: string;
  readonly pid: number;
  /** When the process started, in units of its system: tells it from a later one with the same pid. Null where the system does not say. */
  readonly start: string | null;
  readonly host: string;
  /** What distinguishes hosts of one name, and containers on one host, whose pids mean something else. */
  readonly machine: string | null;
  readonly pidNamespace: string | null;
  /** Changes when the host starts anew. */
  readonly boot: string | null;
  /** When it took the lock, ISO 8601. */
  readonly since: string;
  readonly command: string;
}

/** `elsewhere`: on another host or in another container, where it cannot be seen whether it lives. */
export type HolderState = 'alive' | 'dead' | 'elsewhere';

type Place = Pick<Holder, 'host' | 'machine' | 'pidNamespace' | 'boot'>;

/** Characters of a command line that are written down. */
const COMMAND_LENGTH = 300;

/** This process, about to take a lock. */
export function newHolder(): Holder {
  return {
    id: randomUUID(),
    pid: process.pid,
    start: startOf(process.pid),
    ...here(),
    since: new Date().toISOString(),
    command: ['mixsga', ...process.argv.slice(2)].join(' ').slice(0, COMMAND_LENGTH),
  };
}

export function stateOf(holder: Holder): HolderState {
  const place = here();
  if (holder.host !== place.host || holder.machine !== place.machine) return 'elsewhere';
  // Without a name of the machine, another boot may be another machine.
  if (holder.boot !== place.boot) return place.machine === null ? 'elsewhere' : 'dead';
  if (holder.pidNamespace !== place.pidNamespace) return 'elsewhere';
  if (!exists(holder.pid)) return 'dead';
  const start = startOf(holder.pid);
  if (start === ENDED) return 'dead';
  return holder.start !== null && start !== null && start !== holder.start ? 'dead' : 'alive';
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // somebody else's
  }
}

/** In the place of a start: a process that has ended, and whose parent has not asked for its exit code yet. */
const ENDED = 'ended';

/** In units of the system; null where it does not say. */
function startOf(pid: number): string | null {
  if (process.platform === 'win32') return null;
  if (process.platform !== 'linux') return orNull(() => execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', stdio: 'pipe' }).trim());
  const status = orNull(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  if (status === null) return null;
  // The second field is a name in parentheses, which may hold anything. The state follows, the 3rd; the start is the 22nd.
  const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? ENDED : (fields[19] ?? null);
}

function here(): Place {
  const id = orNull(() => readFileSync('/etc/machine-id', 'utf8').trim()) || null;
  return {
    host: hostname(),
    // systemd asks that the id itself is given to nobody.
    machine: id && createHash('sha256').update(`mixsga ${id}`).digest('hex').slice(0, 16),
    pidNamespace: orNull(() => readlinkSync('/proc/self/ns/pid')),
    boot: orNull(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
  };
}

function orNull(read: () => string): string | null {
  try {
    return read();
  } catch {
    return null;
  }
}
