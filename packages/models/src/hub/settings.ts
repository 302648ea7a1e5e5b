import { isNode } from '../io/http';

/** Where the hub and its cache are. The environment gives the defaults, under the names that Python's huggingface_hub reads. */
export interface HubSettings {
  /** HF_ENDPOINT; default https://huggingface.co. No slash at its end. */
  readonly endpoint: string;
  /** HF_TOKEN: for gated and private models. Never sent but to the endpoint. */
  readonly token: string | undefined;
  /** HF_HUB_CACHE, or `hub` in HF_HOME; default ~/.cache/huggingface/hub. Unused in browsers, which have a cache of their own. */
  readonly cache: string;
  /** HF_HUB_OFFLINE: whatever is not in the cache is an error. */
  readonly offline: boolean;
}

/** The settings of this process, but for those given. */
export async function hubSettings(given: Partial<HubSettings> = {}): Promise<HubSettings> {
  const environment = isNode() ? process.env : {};
  const truthy = /^(1|on|yes|true)$/i;
  return {
    endpoint: (given.endpoint ?? (environment.HF_ENDPOINT || 'https://huggingface.co')).replace(/\/+$/, ''),
    token: given.token ?? (environment.HF_TOKEN?.trim() || undefined),
    cache: given.cache ?? (isNode() ? await cacheFolder(environment) : ''),
    offline: given.offline ?? truthy.test(environment.HF_HUB_OFFLINE ?? ''),
  };
}

async function cacheFolder(environment: NodeJS.ProcessEnv): Promise<string> {
  const { homedir } = await import('node:os');
  const { join } = await import('node:path');
  const home = (path: string) => path.replace(/^~(?=$|\/)/, homedir());
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = environment;
  const direct = HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE;
  if (direct) return home(direct);
  return join(home(HF_HOME || join(XDG_CACHE_HOME || '~/.cache', 'huggingface')), 'hub');
}
