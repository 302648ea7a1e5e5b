const MARKER = Symbol.for('mixsga.error');

/**
 * Base of every error that mixsga raises on purpose. The message is one line: who complains, what was
 * expected, what was got, what to do.
 */
export class MixsgaError extends Error {
  /** Name of the class as a value, since minifiers rename classes. */
  static readonly kind: string = 'MixsgaError';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.kind;
    Object.defineProperty(this, MARKER, { value: kindsOf(new.target) });
  }

  /**
   * Like `instanceof`, but true also for an error of another copy of this package (two versions in one
   * dependency tree, or a bundle beside a module).
   */
  static isInstance<E extends MixsgaError>(this: { readonly kind: string; readonly prototype: E }, error: unknown): error is E {
    if (typeof error !== 'object' || error === null) return false;
    const kinds: unknown = (error as Record<symbol, unknown>)[MARKER];
    return Array.isArray(kinds) && kinds.includes(this.kind);
  }
}

/** The caller gave a wrong value. The command line exits with 2. */
export class ArgumentError extends MixsgaError {
  static override readonly kind: string = 'ArgumentError';
}

/** A file is missing, cut short or malformed: the message starts with its path. The command line exits with 1. */
export class FileError extends MixsgaError {
  static override readonly kind: string = 'FileError';

  constructor(
    readonly path: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${path}: ${message}`, options);
  }
}

/** A backend cannot start or lacks something: the message says what to install. The command line exits with 1. */
export class BackendError extends MixsgaError {
  static override readonly kind: string = 'BackendError';
}

/**
 * The device is gone, and with it all that was on it: a driver was reset, a card was taken out, or somebody destroyed it.
 * `startBackend` gives a new one.
 */
export class DeviceLostError extends BackendError {
  static override readonly kind: string = 'DeviceLostError';
}

function kindsOf(leaf: unknown): string[] {
  const kinds: string[] = [];
  for (let c = leaf; typeof c === 'function' && 'kind' in c; c = Object.getPrototypeOf(c) as unknown) {
    kinds.push(String(c.kind));
  }
  return kinds;
}
