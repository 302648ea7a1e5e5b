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
