// Which process something on the disk belongs to (Node): temporary names and locks carry it.

/** A process, told apart from all others that have had its number. Plain data. */
export interface Owner {
  readonly pid: number;
  /** When it started, in units of its system. Null where the system does not say. */
  readonly start: string | null;
  readonly host: string;
  /** What distinguishes hosts of one name, and containers on one host, whose pids mean something else. */
  readonly machine: string | null;
  readonly pidNamespace: string | null;
  /** Changes when the host starts anew. */
  readonly boot: string | null;
}

/** `elsewhere`: on another host or in another container, where it cannot be seen whether it lives. */
export type OwnerState = 'alive' | 'dead' | 'elsewhere';

type Place = Omit<Owner, 'pid' | 'start'>;

/** The process that runs this. */
export function thisProcess(): Owner {
  return { pid: process.pid, start: startOf(process.pid), ...here() };
}

export function stateOf(owner: Owner): OwnerState {
  return judge(owner, here(), startOf(owner.pid));
}

/** An owner as a part of a file's name: `HOST-BOOT-NAMESPACE-PID-START`, all but the number shortened. */
export function tagOf({ host, machine, boot, pidNamespace, pid, start }: Owner): string {
  return [shortened(`${host} ${machine ?? ''}`), shortened(boot), shortened(pidNamespace), pid, shortened(start)].join('-');
}

/** What {@link tagOf} makes. */
export const TAG = '[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-\\d+-[0-9a-f]{8}';

/** The same as {@link stateOf} of the owner that a tag was made of. */
export function stateOfTag(tag: string): OwnerState {
  const [host, boot, pidNamespace, pid, start] = tag.split('-') as [string, string, string, string, string];
  const place = here();
  const now = startOf(Number(pid));
  const short = (value: string | null) => value && shortened(value);
  const known = (value: string) => (value === NONE ? null : value);
  const owner = { pid: Number(pid), start: known(start), host, machine: place.machine, boot: known(boot), pidNamespace: known(pidNamespace) };
  const shortHere = { host: shortened(`${place.host} ${place.machine ?? ''}`), machine: place.machine, boot: short(place.boot), pidNamespace: short(place.pidNamespace) };
  return judge(owner, shortHere, now === ENDED ? ENDED : short(now));
}

function judge(owner: Owner, place: Place, start: string | null): OwnerState {
  if (owner.host !== place.host || owner.machine !== place.machine) return 'elsewhere';
  // Without a name of the machine, another boot may be another machine.
  if (owner.boot !== place.boot) return place.machine === null ? 'elsewhere' : 'dead';
  if (owner.pidNamespace !== place.pidNamespace) return 'elsewhere';
  if (!exists(owner.pid) || start === ENDED) return 'dead';
  return owner.start !== null && start !== null && start !== owner.start ? 'dead' : 'alive';
}

const NONE = '00000000';

function shortened(value: string | null): string {
  return value === null ? NONE : hash(value).slice(0, 8);
}

function hash(text: string): string {
  return process.getBuiltinModule('node:crypto').createHash('sha256').update(text).digest('hex');
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
  if (process.platform !== 'linux') {
    const { execFileSync } = process.getBuiltinModule('node:child_process');
    return orNull(() => execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', stdio: 'pipe' }).trim());
  }
  const status = orNull(() => readText(`/proc/${pid}/stat`));
  if (status === null) return null;
  // The second field is a name in parentheses, which may hold anything. The state follows, the 3rd; the start is the 22nd.
  const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? ENDED : (fields[19] ?? null);
}

function here(): Place {
  const id = orNull(() => readText('/etc/machine-id').trim()) || null;
  return {
    host: process.getBuiltinModule('node:os').hostname(),
    // systemd asks that the id itself is given to nobody.
    machine: id && hash(`mixsga ${id}`).slice(0, 16),
    pidNamespace: orNull(() => process.getBuiltinModule('node:fs').readlinkSync('/proc/self/ns/pid')),
    boot: orNull(() => readText('/proc/sys/kernel/random/boot_id').trim()),
  };
}

function readText(path: string): string {
  return process.getBuiltinModule('node:fs').readFileSync(path, 'utf8');
}

function orNull(read: () => string): string | null {
  try {
    return read();
  } catch {
    return null;
  }
}
