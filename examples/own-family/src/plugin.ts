import type { registerFamily } from '@mixsga/models';
import { smolLm3 } from './smollm3';

/** What `mixsga --plugin` calls. */
export default function plugin(mixsga: { registerFamily: typeof registerFamily }): void {
  mixsga.registerFamily('smollm3', smolLm3);
}
