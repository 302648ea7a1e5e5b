import { ArgumentError, type OptionNames } from '@mixsga/backend';
import { isNode } from '../io/environment';

/** Where the hub and its cache are. The environment gives the defaults, under the names that Python's huggingface_hub reads. */
export interface HubSettings {
  /** HF_ENDPOINT; default https://huggingface.co. No slash at its end. */
  readonly endpoint: string;
  /**
   * For gated and private models: HF_TOKEN, else what `hf auth login` saved (in HF_TOKEN_PATH, or `token` in HF_HOME) unless
   * HF_HUB_DISABLE_IMPLICIT_TOKEN is set. Never sent but to the endpoint.
   */
  readonly token: string | undefined;
  /** HF_HUB_CACHE, or `hub` in HF_HOME; default ~/.cache/huggingface/hub. Unused in browsers, which have a cache of their own. */
  readonly cache: string;
  /** HF_HUB_OFFLINE: whatever is not in the cache is an error. */
  readonly offline: boolean;
  /** HF_HUB_DOWNLOAD_TIMEOUT (there in seconds): how long the hub may be silent. Default 30 s. */
  readonly timeoutMs: number;
}

export const HUB_SETTINGS: OptionNames<HubSettings> = { endpoint: true, token: true, cache: true, offline: true, timeoutMs: true };

/** The settings of this process, but for those given. @throws ArgumentError when a variable is malformed */
export async function hubSettings(given: Partial<HubSettings> = {}): Promise<HubSettings> {
  const environment = isNode() ? process.env : {};
  const folders = isNode() ? await hubFolders(environment) : null;
  return {
    endpoint: (given.endpoint ?? (environment.HF_ENDPOINT || 'https://huggingface.co')).replace(/\/+$/, ''),
    token: given.token ?? (environment.HF_TOKEN?.trim() || (folders && (await savedToken(environment, folders.token))) || undefined),
    cache: given.cache ?? folders?.cache ?? '',
    offline: given.offline ?? isTruthy(environment.HF_HUB_OFFLINE),
    timeoutMs: given.timeoutMs ?? timeoutOf(environment.HF_HUB_DOWNLOAD_TIMEOUT || '30'),
  };
}

function isTruthy(value: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(value ?? '');
}

async function hubFolders(environment: NodeJS.ProcessEnv): Promise<{ cache: string; token: string }> {
  const { homedir } = await import('node:os');
  const { join } = await import('node:path');
  const home = (path: string) => path.replace(/^~(?=$|\/)/, homedir());
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME } = environment;
  const folder = home(HF_HOME || join(XDG_CACHE_HOME || '~/.cache', 'huggingface'));
  return {
    cache: home(HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE || join(folder, 'hub')),
    token: home(HF_TOKEN_PATH || join(folder, 'token')),
  };
}

/** The token of `hf auth login`; undefined where nobody has logged in. */
async function savedToken({ HF_HUB_DISABLE_IMPLICIT_TOKEN }: NodeJS.ProcessEnv, path: string): Promise<string | undefined> {
  if (isTruthy(HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  const { readFile } = await import('node:fs/promises');
  return (await readFile(path, 'utf8').catch(() => '')).trim() || undefined;
}

function timeoutOf(seconds: string): number {
  const milliseconds = 1000 * Number(seconds);
  if (milliseconds > 0 && milliseconds < 2 ** 31) return milliseconds;
  throw new ArgumentError(`HF_HUB_DOWNLOAD_TIMEOUT: expected a number of seconds above 0, got ${JSON.stringify(seconds)}; correct or unset it`);
}
