// What a router stores is what its factory declares, before there is a router.
import { ArgumentError } from '@mixsga/backend';
import { linearParameters } from './linear-scores';
import type { Router, RouterFactory, RouterOptions, RouterSizes } from './router';

/** Shapes of what the routers of a factory store, by name. */
export function parametersOf({ parameters = linearParameters }: RouterFactory, sizes: RouterSizes): Readonly<Record<string, number[]>> {
  return parameters(sizes);
}

/** @throws ArgumentError when a router stores other variables than its factory declares */
export function expectDeclared(who: string, router: Router, factory: RouterFactory, { hiddenSize, ratios }: RouterOptions): void {
  const declared = listed(Object.entries(parametersOf(factory, { hiddenSize, experts: ratios.length })));
  const stored = listed(Object.entries({ ...router.trainable, ...router.buffers }).map(([name, { shape }]) => [name, shape]));
  if (stored === declared) return;
  const hint = factory.parameters ? 'make `parameters` of the factory and the router agree' : 'declare them by `parameters` of the factory';
  throw new ArgumentError(`${who}: expected the router to store ${declared}, as its factory declares, got ${stored}; ${hint}`);
}

function listed(shapes: readonly (readonly [name: string, shape: readonly number[]])[]): string {
  return shapes.map(([name, shape]) => `${name} [${shape.join(', ')}]`).sort().join(', ') || 'nothing';
}
