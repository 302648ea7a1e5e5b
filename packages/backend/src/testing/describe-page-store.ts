import { beforeAll, describe, it } from 'vitest';
import { kvTypes } from '../inference/kv-type';
import { pageStoreChecks, type CreateStore } from './page-store';

/**
 * {@link pageStoreChecks} as vitest tests.
 * @param start starts what the stores need, and gives what makes one
 */
export function describePageStore(name: string, start: () => Promise<CreateStore>): void {
  describe(`${name} as a PageStore`, () => {
    let create: CreateStore;
    beforeAll(async () => {
      create = await start();
    });
    describe.each(kvTypes)('of %s', (type) => {
      it.each(pageStoreChecks)('$name', ({ run }) => run(create, type));
    });
  });
}
