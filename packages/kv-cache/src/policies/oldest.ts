import type { CachePolicy } from './policy';

/** The oldest tokens go first. It needs no attention. */
export const oldest: CachePolicy = {
  name: 'oldest',
  description: 'the oldest tokens first',
  rank: ({ positions }) => positions,
};
