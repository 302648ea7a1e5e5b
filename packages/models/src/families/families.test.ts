import { startBackend } from '@mixsga/backend';
import { beforeAll, describe, it } from 'vitest';
import { familyChecks } from '../testing/index';
import { families } from './index';

beforeAll(async () => void (await startBackend('wasm')));

describe.each(Object.keys(families))('%s', (family) => {
  it.each(familyChecks)('$name', ({ run }) => run(family));
});
