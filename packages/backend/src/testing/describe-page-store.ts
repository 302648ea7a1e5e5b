import { beforeAll, describe, it } from 'vitest';
import type { PageStore } from '../inference/pages';
import { pageStoreChecks } from './page-store';

/**
 * {@link pageStoreChecks} as vitest tests.
 * @param start starts what the stores need, and gives what makes one
 */
export function describePageStore(name: string, start: () => Promise<(heads: number, headDim: number) => PageStore>): void {
  describe(`${name} as a PageStore`, () => {
    let create: (heads: number, headDim: number) => PageStore;
    beforeAll(async () => {
      create = await start();
    });
    it.each(pageStoreChecks)('$name', ({ run }) => run(create));
  });
}
