// sotu-mini with changes, as files to drop on the page.
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeSafetensors, fromFloat32, readSafetensors, toFloat32, type SafetensorsEntry } from '@mixsga/models';

export const zoo = fileURLToPath(new URL('../../../../packages/models/zoo/sotu-mini', import.meta.url));
export const modelFiles = ['config.json', 'tokenizer.json', 'model.safetensors'] as const;

export interface Changes {
  /** Keys of config.json. */
  readonly config?: object;
  /** New values of tensors by name, and their shapes. */
  readonly tensors?: Readonly<Record<string, (values: Float32Array, shape: readonly number[]) => { readonly values: Float32Array; readonly shape: readonly number[] }>>;
}

/** @returns the paths of the files, in a folder that the caller removes */
export async function changedModel({ config = {}, tensors = {} }: Changes): Promise<{ folder: string; paths: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'mixsga-model-'));
  const paths = modelFiles.map((name) => join(folder, name));
  const own = JSON.parse(await readFile(join(zoo, 'config.json'), 'utf8')) as object;
  await writeFile(paths[0]!, JSON.stringify({ ...own, ...config }));
  await writeFile(paths[1]!, await readFile(join(zoo, 'tokenizer.json')));
  const entries = new Map<string, SafetensorsEntry>(await readSafetensors(join(zoo, 'model.safetensors')));
  for (const [name, change] of Object.entries(tensors)) {
    const entry = entries.get(name)!;
    const { values, shape } = change(toFloat32(entry), entry.shape);
    entries.set(name, fromFloat32(values, shape));
  }
  await writeFile(paths[2]!, encodeSafetensors(entries));
  return { folder, paths };
}
