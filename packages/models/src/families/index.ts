// The families of models: what a config.json's `model_type` means.
import { ArgumentError, FileError } from '@mixsga/backend';
import { z } from 'zod';
import type { ModelConfig } from '../config/shape';
import { suggestion, validateConfig } from '../config/validate';
import type { ModelFamily } from './family';
import { gemma2 } from './gemma2/index';
import { gemma3 } from './gemma3/index';
import { llama } from './llama/index';
import { olmo2 } from './olmo2/index';
import { opt } from './opt/index';
import { qwen3 } from './qwen3/index';

/** The families that come with this package. A new one is a folder and a line here. */
export const families = { opt, llama, gemma2, gemma3_text: gemma3, qwen3, olmo2 };

const known = new Map<string, ModelFamily>(Object.entries(families));

/** Names of all families, those of {@link registerFamily} included. */
export function familyNames(): string[] {
  return [...known.keys()];
}

/**
 * Makes a family of your own known to everything that reads a config.json.
 * @param name the `model_type` of its config.json: small letters, digits, hyphens and underscores
 * @throws ArgumentError when the name is none, or another family's
 */
export function registerFamily(name: string, family: ModelFamily): void {
  if (!/^[a-z][a-z0-9_-]*$/.test(name)) {
    throw new ArgumentError(`registerFamily: expected a name of small letters, digits, hyphens and underscores, got ${JSON.stringify(name)}`);
  }
  if (known.has(name) && known.get(name) !== family) throw new ArgumentError(`registerFamily: expected a name that is free, got ${name}`);
  known.set(name, family);
}

/** @throws ArgumentError when there is none of that name */
export function familyNamed(name: string): ModelFamily {
  const family = known.get(name);
  if (!family) throw new ArgumentError(`expected a family of ${familyNames().join(', ')}, got ${JSON.stringify(name)}; register your own by registerFamily`);
  return family;
}

/** The family of a configuration. */
export function familyOf(config: ModelConfig): ModelFamily {
  return familyNamed(config.model_type);
}

/**
 * Checks a parsed config.json of any family.
 * @param where the file's path, for error messages
 * @throws FileError when the family is unknown or a field is wrong
 */
export function parseModelConfig(json: unknown, where: string): ModelConfig {
  const { model_type: name } = validateConfig(z.object({ model_type: z.string() }), json, where);
  const family = known.get(name);
  if (family) return family.parse(json, where);
  const forText = `${name}_text`;
  const hint = known.has(forText) ? `did you mean ${forText}, its models for text alone?` : suggestion(name, familyNames());
  const all = hint.startsWith('did') ? ` (supported: ${familyNames().join(', ')})` : '';
  throw new FileError(where, `unknown model_type ${JSON.stringify(name)}; ${hint}${all}`);
}

/** The norm that a layer's attention reads, and what its gains are more than they are stored as; null where no norm has scaled its inputs. */
export function inputNorm(config: ModelConfig, layer: number): { name: string; gainOffset: number } | null {
  const { heads } = familyOf(config);
  const name = heads.norm(config, layer);
  return name === null ? null : { name, gainOffset: heads.gainOffset };
}
