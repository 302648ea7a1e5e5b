import { describeBackends } from '@mixsga/backend';
import { policies } from '@mixsga/kv-cache';
import { attentionKinds } from '@mixsga/models';
import { backendChoices, type Catalog } from '../protocol';

/** What the packages offer, as they name it. */
export async function catalog(): Promise<Catalog> {
  const backends = await describeBackends();
  return {
    attention: Object.entries(attentionKinds).map(([name, { example, description }]) => ({ name, example, description })),
    eviction: [
      { name: 'none', example: 'none', description: 'every token stays' },
      ...Object.entries(policies).map(([name, { description }]) => ({ name, example: `${name}:0.6`, description })),
    ],
    backends: backends
      .filter(({ name }) => (backendChoices as readonly string[]).includes(name))
      .map(({ name, available, software, detail, reason }) => ({ name, available, software, detail: reason ?? detail })),
  };
}
