import { ArgumentError, expectFields, type FieldTypes, Registry } from '@mixsga/backend';
import { balancedRouter } from './balanced';
import { expectDeclared, parametersOf } from './declared';
import { distortionRouter } from './distortion';
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

const registry = new Registry<RouterFactory>(routers, {
  register: 'registerRouter',
  isFunction: true,
  fields: { 'description?': 'string', 'parameters?': 'function' },
});

const ROUTER: FieldTypes<Router> = {
  experts: 'number',
  causal: 'boolean',
  trainable: 'object',
  buffers: 'object',
  'linear?': 'object',
  'distortion?': 'object',
  score: 'function',
  assign: 'function',
  decode: 'function',
  loss: 'function',
  'balance?': 'function',
  dispose: 'function',
};

/** Names of all routers, those of {@link registerRouter} included. */
export function routerNames(): string[] {
  return registry.names();
}

/**
 * Makes a router of your own known by a name, to the configurations of models too.
 * @param name letters, digits and hyphens
 * @throws ArgumentError when the name is none or another router's, or the factory is none
 */
export function registerRouter(name: string, factory: RouterFactory): void {
  registry.add(name, factory);
}

/**
 * Makes the router of one layer.
 *
 * @param kind a name of the catalog or of {@link registerRouter}, or a factory of your own
 * @throws ArgumentError on a name that there is not, when the options do not fit together, or where the router is not one, or stores what its
 *   factory does not declare; BackendError when no backend is started
 */
export function createRouter(kind: string | RouterFactory, options: RouterOptions): Router {
  const factory = typeof kind === 'function' ? kind : factoryOf('createRouter', kind);
  const who = `createRouter${typeof kind === 'function' ? '' : `: ${kind}`}`;
  const router: unknown = factory(options);
  if (typeof router !== 'object' || router === null) throw new ArgumentError(`${who}: expected a router from its factory, got ${String(router)}`);
  expectFields(who, router as Router, ROUTER);
  try {
    expectDeclared(who, router as Router, factory, options);
  } catch (error) {
    (router as Router).dispose();
    throw error;
  }
  return router as Router;
}

/**
 * Shapes of what a checkpoint has of a router, by name; none where nothing is stored. Needs no backend.
 * @throws ArgumentError on a name that there is not
 */
export function routerParameters(kind: string, sizes: RouterSizes): Readonly<Record<string, number[]>> {
  return parametersOf(factoryOf('routerParameters', kind), sizes);
}

function factoryOf(who: string, kind: string): RouterFactory {
  const factory = registry.get(kind);
  if (factory) return factory;
  throw new ArgumentError(`${who}: expected a router of ${routerNames().join(', ')}, got '${String(kind)}'; ${registry.hint(String(kind))}`);
}
