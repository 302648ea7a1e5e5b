import { ArgumentError } from '@mixsga/backend';

/**
 * Where a model takes the values of its parameters from, one at a time, so that no more than one of them needs
 * to be in memory beside what the backend keeps.
 */
export interface ParameterSource {
  /** Whether there is a tensor of that name, of any element type. */
  has(name: string): boolean;
  /**
   * The values of a tensor, row-major, in memory of the caller's own.
   * @throws FileError when there is no such tensor, or its values cannot be read
   */
  read(name: string): Promise<Float32Array>;
}

/** A parameter as a checkpoint has it. */
export interface ParameterSpec {
  /** Name as in Hugging Face checkpoints. */
  readonly name: string;
  readonly shape: number[];
}

/** What a forward pass asks for by name. @throws ArgumentError when its family lists no such parameter */
export function expectListed<T>(name: string, found: T | null | undefined): T {
  if (found === null || found === undefined) throw new ArgumentError(`expected a parameter ${name}, which the forward pass reads, among the \`parameters\` of the family, and there is none`);
  return found;
}
