import { expectOptions, type OptionNames } from '@mixsga/backend';
import type { Expert, ExpertLayout } from './expert';
import { kvGroupedExpert } from './kv-grouped';

export interface GroupedOptions extends ExpertLayout {
  /** KV heads that share a stored head; a divisor of `kvHeads`. */
  readonly groupSize: number;
}

const OPTIONS: OptionNames<GroupedOptions> = { kvHeads: true, headDim: true, groupSize: true };

/**
 * Weight-shared grouped expert (paper section 3.3): stored head j is the mean of the KV heads j·g … (j+1)·g − 1,
 * and serves all of them. The stored heads of the keys come first.
 *
 * @throws ArgumentError when the group size does not divide the KV heads
 */
export function groupedExpert(options: GroupedOptions): Expert {
  expectOptions('groupedExpert', options, OPTIONS);
  const { kvHeads, headDim, groupSize } = options;
  return { ...kvGroupedExpert({ kvHeads, headDim, groupSizes: { k: groupSize, v: groupSize } }), groupSize };
}
