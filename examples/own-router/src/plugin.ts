import type { registerRouter } from '@mixsga/router';
import { cosineRouter } from './cosine-router';

/** What `mixsga --plugin` calls. */
export default function plugin(mixsga: { registerRouter: typeof registerRouter }): void {
  mixsga.registerRouter('cosine', cosineRouter);
}
