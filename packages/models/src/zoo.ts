import { ArgumentError, expectOptions, FileError } from '@mixsga/backend';
import { knownModels } from './config/known-models';
import { suggestion } from './config/validate';
import { isHubId } from './hub/repository';
import { DOWNLOAD_OPTIONS, downloadModel, type DownloadOptions } from './hub/snapshot';

/** A model on this machine. */
export interface ResolvedModel {
  /** The name or path that it was asked by. */
  readonly name: string;
  /** Folder with config.json, weights and tokenizer.json. */
  readonly directory: string;
}

/**
 * Finds a model on this machine, or fetches it from the hub to the cache (Node).
 * @param nameOrFolder a folder with a config.json, the name of a model that ships with this package (`sotu-mini`), or
 * "organisation/name[@revision]" of the hub
 * @throws FileError when the folder has no config.json, or the hub does not give the model; ArgumentError when there is no such
 * folder or name
 */
export async function resolveModel(nameOrFolder: string, options: DownloadOptions = {}): Promise<ResolvedModel> {
  expectOptions('resolveModel', options, DOWNLOAD_OPTIONS);
  const { stat } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const isFile = async (path: string) => (await stat(path).catch(() => null))?.isFile() === true;

  if ((await stat(nameOrFolder).catch(() => null))?.isDirectory()) {
    if (await isFile(join(nameOrFolder, 'config.json'))) return { name: nameOrFolder, directory: nameOrFolder };
    throw new FileError(nameOrFolder, 'expected a model folder with config.json, got a folder without; check the path');
  }
  const shipped = await zooModels();
  if (shipped.includes(nameOrFolder)) return { name: nameOrFolder, directory: join(await zooFolder(), nameOrFolder) };
  if (!isHubId(nameOrFolder)) {
    throw new ArgumentError(`model ${JSON.stringify(nameOrFolder)}: no such folder; ${suggestion(nameOrFolder, shipped)}`);
  }
  try {
    return { name: nameOrFolder, directory: (await downloadModel(nameOrFolder, options)).where };
  } catch (error) {
    if (!FileError.isInstance(error)) throw error;
    const known = Object.keys(knownModels);
    const hint = known.includes(nameOrFolder) ? '' : suggestion(nameOrFolder, known);
    const reason = `no folder of this name, and from the hub: ${error.message}`;
    throw new FileError(nameOrFolder, hint.startsWith('did you mean') ? `${reason}; ${hint}` : reason, { cause: error });
  }
}

/** Names of the models that ship with this package. */
export async function zooModels(): Promise<string[]> {
  const { readdir } = await import('node:fs/promises');
  const entries = await readdir(await zooFolder(), { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name).sort();
}

async function zooFolder(): Promise<string> {
  const { fileURLToPath } = await import('node:url');
  // Beside both src and dist.
  return fileURLToPath(new URL('../zoo', import.meta.url));
}
