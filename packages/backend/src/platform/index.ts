import './gradients.generated';
import { ArgumentError, BackendError } from '../errors';
import { nearestWord } from '../nearest-word';
import { expectOptions, type OptionNames } from '../options';
import { cpu } from './cpu';
import { cuda } from './cuda';
import { firstLine, isNode } from './node';
import type { BackendName, BackendReport, Platform, StartOptions } from './platform';
import { backendNames } from './platform';
import { wasm } from './wasm';
import { webgpu } from './webgpu';

const platforms: { readonly [Name in BackendName]: Platform } = { wasm, cpu, webgpu, cuda };

const START: OptionNames<StartOptions> = { wasmPaths: true, onDeviceError: true };

/** The order in which `auto` tries them. */
const preference: readonly BackendName[] = ['cuda', 'webgpu', 'wasm', 'cpu'];

/** The backend that was started. */
export interface BackendInfo {
  readonly name: BackendName;
  /** Its name in the registry of TensorFlow.js. */
  readonly tfjsName: string;
  /** See {@link BackendReport.software}. */
  readonly software: boolean;
  /** The device or build, for people. */
  readonly detail: string;
  /** With `auto`: the backends tried before this one, each with the reason why it was not taken. */
  readonly passedOver: readonly BackendReport[];
}

/**
 * Starts a backend and makes it the active one of TensorFlow.js. One that was asked for by name is started or the
 * promise rejects; there is no silent fallback.
 *
 * @param name a backend, or `auto`: the first that starts of cuda, webgpu, wasm, cpu, of the first two only on a real
 * device. Default: the environment variable MIXSGA_BACKEND, else `auto`.
 * @throws ArgumentError when there is no backend of that name
 * @throws BackendError when it can't start; the message says why and what to install
 */
export async function startBackend(name?: BackendName | 'auto', options: StartOptions = {}): Promise<BackendInfo> {
  expectOptions('startBackend', options, START);
  const wanted = checkName(name);
  if (wanted !== 'auto') {
    const report = await reportOn(platforms[wanted]);
    const { started, failed } = await tryStart(report, options);
    if (!started) throw new BackendError(cannotStart(failed));
    return { ...started, passedOver: [] };
  }
  const passedOver: BackendReport[] = [];
  for (const candidate of preference) {
    const report = await reportOn(platforms[candidate]);
    if (report.software) {
      passedOver.push({ ...report, reason: 'the processor stands in for its device' });
      continue;
    }
    const { started, failed } = await tryStart(report, options);
    if (started) return { ...started, passedOver };
    passedOver.push(failed);
  }
  throw new BackendError(`no backend can start: ${passedOver.map(({ name, reason }) => `${name}: ${reason}`).join('; ')}`);
}

/** What is known of every backend on this machine. Leaves the active backend as it is. */
export async function describeBackends(): Promise<BackendReport[]> {
  const reports: BackendReport[] = [];
  // One after another: probing one may load a library that changes the active backend for a moment.
  for (const name of backendNames) reports.push(await reportOn(platforms[name]));
  return reports;
}

async function reportOn({ name, tfjsName, probe }: Platform): Promise<BackendReport> {
  return { name, tfjsName, ...(await probe()) };
}

type Attempt =
  | { started: Omit<BackendInfo, 'passedOver'>; failed?: undefined }
  | { started?: undefined; failed: BackendReport };

async function tryStart(report: BackendReport, options: StartOptions): Promise<Attempt> {
  if (!report.available) return { failed: report };
  const { name, tfjsName, software, detail } = report;
  try {
    const startedDetail = await platforms[name].start(options);
    return { started: { name, tfjsName, software, detail: startedDetail ?? detail } };
  } catch (error) {
    return { failed: { ...report, available: false, reason: firstLine(error) } };
  }
}

function cannotStart({ name, reason, install }: BackendReport): string {
  return `backend ${name} can't start: ${reason}${install === undefined ? '' : `; ${install}`}`;
}

function checkName(name: string | undefined): BackendName | 'auto' {
  const fromEnvironment = isNode ? process.env['MIXSGA_BACKEND'] : undefined;
  const wanted = name ?? (fromEnvironment || 'auto');
  const known = ['auto', ...backendNames];
  if (known.includes(wanted)) return wanted as BackendName | 'auto';
  const source = name === undefined ? 'MIXSGA_BACKEND' : 'startBackend';
  const nearest = nearestWord(wanted, known);
  const suggestion = nearest ? `; did you mean ${nearest}?` : '';
  throw new ArgumentError(`${source}: expected a backend (${known.join(', ')}), got ${JSON.stringify(wanted)}${suggestion}`);
}
