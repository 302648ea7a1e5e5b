import type { Method } from '../preset';

export const gqa = (size: number): Method => ({ name: `GQA ${size}`, attention: `gqa:${size}` });
export const cla = (size: number): Method => ({ name: `CLA ${size}`, attention: `cla:${size}` });
export const mha: Method = { name: 'MHA', attention: 'mha' };
/** @param spec ratios, with group sizes where they are not 1, 2, 4: `3:1:6`, `1:2@1,4` */
export const mixsga = (spec: string): Method => ({ name: `mixSGA ${spec}`, attention: `mixsga:${spec}` });

/** The paper's ablations of the router (its Table 6). */
export const ablations: readonly Method[] = [
  mixsga('3:1:6'),
  { ...mixsga('3:1:6'), name: 'mixSGA 3:1:6, no consistency loss', alpha: 0 },
  { ...mixsga('3:1:6'), name: 'mixSGA 3:1:6, random router', router: 'random' },
];

/** Capacity ratios that keep half of the KV cache with group sizes 1, 2, 4: x + y/2 + z/4 = 1/2 of x + y + z (Tables 4, 5, 11). */
export const halfRatios = ['3:1:6', '1:1:2', '1:2:2', '1:3:2', '0:1:0', '1:2@1,4'] as const;

/** Capacity ratios of Figure 3, with the KV budget that each makes. */
export const budgetRatios = { '0:0:1': 0.25, '1:1:8': 0.35, '3:1:6': 0.5, '1:1:0': 0.75 } as const;
