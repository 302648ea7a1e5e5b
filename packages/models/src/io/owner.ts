// Which process something on the disk belongs to (Node): temporary names and locks carry it.

/** A process, told apart from all others that have had its number. */
export interface Owner {
  /** Of the machine's name, 8 hexadecimal digits. */
  readonly host: string;
  readonly pid: number;
  /** Clock ticks from the machine's start to the process's, where the system gives them (Linux), else 0. */
  readonly start: string;
}

/** The process that runs this. */
export async function thisProcess(): Promise<Owner> {
  return { host: await hostId(), pid: process.pid, start: await startOf(process.pid) };
}

/**
 * Whether a process has ended.
 * @returns undefined for one of another machine, of which nothing can be known here
 */
export async function hasEnded({ host, pid, start }: Owner): Promise<boolean | undefined> {
  if (host !== (await hostId())) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true;
  }
  // The number may have been given to another process since; in a container it often is the same for each.
  const now = await startOf(pid);
  return start !== '0' && now !== '0' && now !== start;
}

async function hostId(): Promise<string> {
  const { createHash } = await import('node:crypto');
  const { hostname } = await import('node:os');
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
}

/** Field 22 of /proc/PID/stat; the second, a name in parentheses, may hold spaces and parentheses itself. */
async function startOf(pid: number): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
}
