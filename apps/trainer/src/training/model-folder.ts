import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The folder of a model that is given by name or by path. */
export function modelFolder(nameOrFolder: string): string {
  const shipped = fileURLToPath(new URL(`../../../packages/models/zoo/${nameOrFolder}`, import.meta.url));
  return existsSync(shipped) ? shipped : nameOrFolder;
}
