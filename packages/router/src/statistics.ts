import { ArgumentError } from '@mixsga/backend';
import type { Tensor2D } from '@tensorflow/tfjs-core';

export interface RoutingStatistics {
  /** Share of the tokens whose decode expert equals their prefill expert. */
  readonly agreement: number;
  /** Share of the tokens that each expert has, in either phase. */
  readonly ratios: { readonly prefill: number[]; readonly decode: number[] };
}

/**
 * How far decoding follows prefill, over the real tokens of a batch. Reads the tensors back.
 *
 * @param prefill int32 [B, T], from `Router.assign`, −1 for padding
 * @param decode int32 [B, T], from `Router.decode`
 * @param experts E
 * @param mask int32 or bool [B, T], 0 for tokens to leave out besides
 * @throws ArgumentError when the shapes differ, an expert is out of range, or no token is left
 */
export async function routingStatistics(
  prefill: Tensor2D,
  decode: Tensor2D,
  experts: number,
  mask?: Tensor2D,
): Promise<RoutingStatistics> {
  for (const [name, tensor] of Object.entries({ decode, mask })) {
    if (tensor && tensor.shape.join() !== prefill.shape.join()) {
      throw new ArgumentError(
        `routingStatistics: expected ${name} of the shape of prefill, [${prefill.shape.join(', ')}], got [${tensor.shape.join(', ')}]`,
      );
    }
  }
  const [first, second, real] = await Promise.all([prefill.data(), decode.data(), mask?.data()]);
  const counts = { prefill: new Array<number>(experts).fill(0), decode: new Array<number>(experts).fill(0) };
  let tokens = 0;
  let agreeing = 0;
  first.forEach((expert, i) => {
    if (expert < 0 || real?.[i] === 0) return;
    const decoded = second[i]!;
    if (expert >= experts || decoded < 0 || decoded >= experts) {
      throw new ArgumentError(`routingStatistics: expected experts from 0 to ${experts - 1}, got ${expert} and ${decoded}`);
    }
    counts.prefill[expert]!++;
    counts.decode[decoded]!++;
    tokens++;
    if (expert === decoded) agreeing++;
  });
  if (tokens === 0) throw new ArgumentError('routingStatistics: expected at least one real token, got none');
  const share = (count: number) => count / tokens;
  return {
    agreement: share(agreeing),
    ratios: { prefill: counts.prefill.map(share), decode: counts.decode.map(share) },
  };
}
