/** Parts of Node that are reached without an import, so that bundles for browsers hold no trace of them. */

export const isNode = typeof process !== 'undefined' && Boolean(process.versions?.node);

/**
 * Path of an installed package's main file, or null when it is not installed; looked for beside this package, then
 * from the working directory, since optional packages are the project's own. Only in Node.
 */
export function resolvePackage(name: string): string | null {
  const { createRequire } = process.getBuiltinModule('node:module');
  for (const from of [import.meta.url, `${process.cwd()}/index.js`]) {
    try {
      return createRequire(from).resolve(name);
    } catch {
      // Not installed there.
    }
  }
  return null;
}

/** Loads a CommonJS module by its path. Only in Node. */
export function requireFile(path: string): unknown {
  return process.getBuiltinModule('node:module').createRequire(import.meta.url)(path);
}

/** The first line of what was thrown, for use inside a sentence. */
export function firstLine(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.split('\n', 1)[0]!.replace(/[.\s]+$/, '') || 'no reason was given';
}
