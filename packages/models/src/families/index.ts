// The families of models: what a config.json's `model_type` means.
import { ArgumentError, FileError, Registry } from '@mixsga/backend';
import { z } from 'zod';
import type { ModelConfig } from '../config/shape';
import { validateConfig } from '../config/validate';
import type { ModelFamily } from './family';
import { gemma2 } from './gemma2/index';
import { gemma3 } from './gemma3/index';
import { llama } from './llama/index';
import { olmo2 } from './olmo2/index';
import { opt } from './opt/index';
import { qwen3 } from './qwen3/index';

/** The families that come with this package. A new one is a folder and a line here. */
export const families = { opt, llama, gemma2, gemma3_text: gemma3, qwen3, olmo2 };

const registry = new Registry<ModelFamily>(families, {
  register: 'registerFamily',
  fields: {
    parse: 'function',
    toJson: 'function',
    sized: 'function',
    layerName: 'function',
    parameters: 'function',
    load: 'function',
    trainable: 'function',
    heads: {
      keyTurns: { nearest: 'function', likeness: 'function' },
      norm: 'function',
      gainOffset: 'number',
      'queryKeyNorm?': ['head', 'all'],
    },
  },
  name: { pattern: /^[a-z][a-z0-9_-]*$/, form: 'small letters, digits, hyphens and underscores' },
});

/** Names of all families, those of {@link registerFamily} included. */
export function familyNames(): string[] {
  return registry.names();
}

/**
 * Makes a family of your own known to everything that reads a config.json.
 * @param name the `model_type` of its config.json: small letters, digits, hyphens and underscores
 * @throws ArgumentError when the name is none or another family's, or the family lacks a field
 */
export function registerFamily(name: string, family: ModelFamily): void {
  registry.add(name, family);
}

/** @throws ArgumentError when there is none of that name */
export function familyNamed(name: string): ModelFamily {
  const family = registry.get(name);
  if (!family) throw new ArgumentError(`expected a family of ${familyNames().join(', ')}, got ${JSON.stringify(name)}; ${registry.hint(name)}`);
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
  const family = registry.get(name);
  if (family) return parseAs(name, family, json, where);
  const forText = `${name}_text`;
  const hint = registry.get(forText) ? `did you mean ${forText}, its models for text alone?` : registry.hint(name);
  const names = familyNames().join(', ');
  throw new FileError(where, `unknown model_type ${JSON.stringify(name)}; ${hint.startsWith('did') ? `${hint} (supported: ${names})` : `expected one of ${names}; ${hint}`}`);
}

/** Everything that has a configuration finds its family by the name in it. */
function parseAs(name: string, family: ModelFamily, json: unknown, where: string): ModelConfig {
  const config = family.parse(json, where);
  if (config.model_type === name) return config;
  throw new ArgumentError(`family ${name}: expected parse to keep model_type ${name}, by which it is registered, got ${JSON.stringify(config.model_type)}`);
}

/** The norm that a layer's attention reads, and what its gains are more than they are stored as; null where no norm has scaled its inputs. */
export function inputNorm(config: ModelConfig, layer: number): { name: string; gainOffset: number } | null {
  const { heads } = familyOf(config);
  const name = heads.norm(config, layer);
  return name === null ? null : { name, gainOffset: heads.gainOffset };
}
