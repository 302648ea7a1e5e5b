import { FileError } from '@mixsga/backend';
import { checkAttention, meaningful, type AttentionSizes } from '../config/keys';
import { parseRope, type ropeKeys, type RopeConfig } from '../config/rope';

/** Keys of a config.json whose heads rotate, with what it may leave to a default filled in. */
export type RotaryHeads<Parsed> = Omit<Parsed, keyof typeof ropeKeys | 'num_key_value_heads' | 'head_dim'> &
  RopeConfig & { num_key_value_heads: number; head_dim: number };

type Parsed = Parameters<typeof parseRope>[0] & Pick<AttentionSizes, 'num_attention_heads' | 'hidden_size'> & {
  readonly num_key_value_heads?: number | null | undefined;
};

/**
 * By default there are as many KV heads as query heads, which divide the hidden size.
 * @throws FileError naming the field, what was expected and what was got
 */
export function rotaryHeads<Keys extends Parsed>(parsed: Keys, where: string): RotaryHeads<Keys> {
  const { rope_parameters: _, rope_scaling: __, ...kept } = meaningful(parsed) as Keys;
  const config = {
    ...kept,
    ...parseRope(parsed, where),
    num_key_value_heads: kept.num_key_value_heads ?? kept.num_attention_heads,
  } as unknown as RotaryHeads<Keys> & AttentionSizes;
  checkAttention(config, where);
  config.head_dim ??= config.hidden_size / config.num_attention_heads;
  checkHeadDim(config, where);
  return config;
}

/** @throws FileError when there are no pairs to rotate */
export function checkHeadDim({ head_dim }: { head_dim: number }, where: string): void {
  if (head_dim % 2 !== 0) throw new FileError(where, `head_dim: expected an even number, whose pairs rotate, got ${head_dim}`);
}
