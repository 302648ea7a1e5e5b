import { describeBackends } from '@mixsga/backend';
import { evictionKinds } from '@mixsga/kv-cache';
import { attentionKinds } from '@mixsga/models';
import { backendChoices, type Catalog } from '../protocol';

/** What the packages offer, as they name it. */
export async function catalog(): Promise<Catalog> {
  const backends = await describeBackends();
  return {
    attention: Object.entries(attentionKinds).map(([name, { example, description }]) => ({ name, example, description })),
    eviction: Object.entries(evictionKinds).map(([name, { example, form }]) => ({ name, example, description: form })),
    backends: backends
      .filter(({ name }) => (backendChoices as readonly string[]).includes(name))
      .map(({ name, available, software, detail, reason }) => ({ name, available, software, detail: reason ?? detail })),
  };
}
