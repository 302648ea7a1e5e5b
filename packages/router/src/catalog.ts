import { ArgumentError } from '@mixsga/backend';
import { balancedRouter } from './balanced';
import { distortionRouter } from './distortion';
import { linearParameters } from './linear-scores';
import { randomRouter } from './random';
import type { Router, RouterFactory, RouterOptions, RouterSizes } from './router';
import { sigmoidRouter } from './sigmoid';

/** The routers that come with this package. A new one is one file and one line here. */
export const routers = {
  sigmoid: sigmoidRouter,
  random: randomRouter,
  balanced: balancedRouter,
  distortion: distortionRouter,
} satisfies Record<string, RouterFactory>;

export type RouterKind = keyof typeof routers;

const known = new Map<string, RouterFactory>(Object.entries(routers));

/** Names of all routers, those of {@link registerRouter} included. */
export function routerNames(): string[] {
  return [...known.keys()];
}

/**
 * Makes a router of your own known by a name, to the configurations of models too.
 * @param name letters, digits and hyphens
 * @throws ArgumentError when the name is none, or another router's
 */
export function registerRouter(name: string, factory: RouterFactory): void {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new ArgumentError(`registerRouter: expected a name of letters, digits and hyphens, got ${JSON.stringify(name)}`);
  if (known.has(name) && known.get(name) !== factory) throw new ArgumentError(`registerRouter: expected a name that is free, got ${name}`);
  known.set(name, factory);
}

/**
 * Makes the router of one layer.
 *
 * @param kind a name of the catalog or of {@link registerRouter}, or a factory of your own
 * @throws ArgumentError on a name that there is not, or when the options do not fit together; BackendError when no backend is started
 */
export function createRouter(kind: string | RouterFactory, options: RouterOptions): Router {
  return (typeof kind === 'function' ? kind : factoryOf('createRouter', kind))(options);
}

/**
 * Shapes of what a checkpoint has of a router, by name; none where nothing is stored. Needs no backend.
 * @throws ArgumentError on a name that there is not
 */
export function routerParameters(kind: string, sizes: RouterSizes): Readonly<Record<string, number[]>> {
  const { parameters = linearParameters } = factoryOf('routerParameters', kind);
  return parameters(sizes);
}

function factoryOf(who: string, kind: string): RouterFactory {
  const factory = known.get(kind);
  if (factory) return factory;
  throw new ArgumentError(`${who}: expected a router of ${routerNames().join(', ')}, got '${String(kind)}'`);
}
