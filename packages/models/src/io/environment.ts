import { ArgumentError } from '@mixsga/backend';

/** In the order in which they are read: the lower-case one counts where both are set, as in curl. */
const VARIABLES = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'] as const;

export function isNode(): boolean {
  return typeof process !== 'undefined' && process.versions?.node !== undefined;
}

let current: { readonly key: string; readonly fetch: typeof fetch } | null = null;

/**
 * `fetch`, through the proxies that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name (Node; browsers have settings of their own).
 * Node's own `fetch` ignores these variables by default; that of undici, of which Node's is made, takes an agent that reads them.
 * @throws ArgumentError when a variable does not hold the address of an HTTP proxy
 */
export async function environmentFetch(): Promise<typeof fetch> {
  if (!isNode()) return fetch;
  const set = VARIABLES.filter((name) => process.env[name]?.trim());
  if (set.length === 0) return fetch;
  set.forEach(validateProxy);
  const key = JSON.stringify(set.map((name) => [name, process.env[name]]));
  if (current?.key !== key) {
    const { EnvHttpProxyAgent, fetch: undiciFetch } = await import('undici');
    const dispatcher = new EnvHttpProxyAgent();
    // The two are the same interface, declared twice.
    const proxied = (input: unknown, init?: object) => undiciFetch(input as string, { ...init, dispatcher });
    current = { key, fetch: proxied as unknown as typeof fetch };
  }
  return current.fetch;
}

/** A proxy's address may hold a password, so that messages leave it out. */
function validateProxy(name: (typeof VARIABLES)[number]): void {
  const address = process.env[name]!.trim();
  const isHttp = URL.canParse(address) && ['http:', 'https:'].includes(new URL(address).protocol);
  if (!isHttp) throw new ArgumentError(`${name}: expected the address of an HTTP proxy, such as http://proxy.example:3128, got another; correct or unset it`);
}
