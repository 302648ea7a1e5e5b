import type { registerPolicy } from '@mixsga/kv-cache';
import { samplePolicy } from './sample-policy';

/** What `mixsga --plugin` calls. */
export default function plugin(mixsga: { registerPolicy: typeof registerPolicy }): void {
  mixsga.registerPolicy(samplePolicy);
}
