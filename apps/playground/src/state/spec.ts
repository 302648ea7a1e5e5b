/** A spec of a catalog in its parts: `mixsga:3:1:6@1,2,4` is a name, numbers, and the rest. */
export interface SpecParts {
  readonly name: string;
  readonly numbers: readonly number[];
  /** From `@` on; often empty. */
  readonly rest: string;
}

export function partsOf(spec: string): SpecParts {
  const [head = '', ...rest] = spec.split('@');
  const [name = '', ...numbers] = head.split(':');
  return { name, numbers: numbers.map(Number), rest: rest.length > 0 ? `@${rest.join('@')}` : '' };
}

export function specOf({ name, numbers, rest }: SpecParts): string {
  return [name, ...numbers].join(':') + rest;
}

/** Whether a kind whose example this is has one number that counts what shares, as `gqa:2`; ratios of `latent:1@4` do not. */
export function isCount(example: string): boolean {
  const { numbers, rest } = partsOf(example);
  return numbers.length === 1 && rest === '';
}
