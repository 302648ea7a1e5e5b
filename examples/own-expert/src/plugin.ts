import type { registerAttention } from '@mixsga/models';
import { leading } from './attention';
import { signsAttention } from './signs';

/** What `mixsga --plugin` calls. */
export default function plugin(mixsga: { registerAttention: typeof registerAttention }): void {
  mixsga.registerAttention('leading', leading);
  mixsga.registerAttention('signs', signsAttention);
}
