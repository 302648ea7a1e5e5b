import { ArgumentError } from '@mixsga/backend';
import { balancedRouter } from './balanced';
import { randomRouter } from './random';
import type { Router, RouterFactory, RouterOptions } from './router';
import { sigmoidRouter } from './sigmoid';

/** The routers that come with this package. A new one is one file and one line here. */
export const routers = {
  sigmoid: sigmoidRouter,
  random: randomRouter,
  balanced: balancedRouter,
} satisfies Record<string, RouterFactory>;

export type RouterKind = keyof typeof routers;

/**
 * Makes the router of one layer.
 *
 * @param kind a name of the catalog, or a factory of your own
 * @throws ArgumentError on a name that the catalog lacks, or when the options do not fit together
 */
export function createRouter(kind: RouterKind | RouterFactory, options: RouterOptions): Router {
  if (typeof kind === 'function') return kind(options);
  if (!Object.hasOwn(routers, kind)) {
    throw new ArgumentError(`createRouter: expected a router of ${Object.keys(routers).join(', ')}, got '${String(kind)}'`);
  }
  return routers[kind](options);
}
