import { cpus, totalmem } from 'node:os';

/** Where a benchmark ran. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  platform: string;
  node: string;
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  };
}

export function formatMachine({ cpu, cores, platform, node }: Machine): string {
  return `${cpu}, ${cores} cores, ${platform}, Node ${node}`;
}
