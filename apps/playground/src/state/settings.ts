// All that a run depends on, and its text in the address after `#`, which a browser sends to no server.
import { backendChoices, type BackendChoice, type GenerationSettings, type Variant } from '../protocol';

export interface Settings extends GenerationSettings {
  /** The name of the shipped model, an id of the hub, or {@link OWN_FILES}. */
  readonly model: string;
  /** One, or two to be compared. */
  readonly variants: readonly Variant[];
}

export const SHIPPED = 'sotu-mini';
/** A model of the user's own, whose files no address has. */
export const OWN_FILES = 'files';

export const defaults: Settings = {
  prompt: 'The state of the Union is',
  model: SHIPPED,
  variants: [{ attention: 'mixsga:3:1:6', eviction: 'none' }],
  backend: 'auto',
  maxNewTokens: 120,
  temperature: 0.8,
  topK: 0,
  topP: 0.95,
  seed: 1,
  pace: 25,
};

/** The numbers: name in the address, and what they may be. */
const numbers = {
  maxNewTokens: { name: 'max', least: 1, most: 100_000, whole: true },
  temperature: { name: 'temperature', least: 0, most: 5, whole: false },
  topK: { name: 'top_k', least: 0, most: 1_000_000, whole: true },
  topP: { name: 'top_p', least: 0.01, most: 1, whole: false },
  seed: { name: 'seed', least: 0, most: Number.MAX_SAFE_INTEGER, whole: true },
  pace: { name: 'pace', least: 0, most: 1000, whole: true },
} as const;

export type NumberSetting = keyof typeof numbers;

/** A share of the unmodified cache, from what was typed; undefined, for no limit, when it is none. */
function readBudget(text: string | null): number | undefined {
  const share = Number(text);
  return share > 0 && share < 1 ? share : undefined;
}

/** A number that the setting can have, from what was typed; null when it is none. */
export function readNumber(setting: NumberSetting, text: string): number | null {
  const { least, most, whole } = numbers[setting];
  const value = Number(text);
  return text.trim() !== '' && value >= least && value <= most && (!whole || Number.isInteger(value)) ? value : null;
}

/** What follows `#`: the settings that are not the defaults. */
export function toFragment(settings: Settings): string {
  const given = new URLSearchParams();
  const put = (name: string, value: string | number, standard: string | number) => {
    if (value !== standard) given.set(name, String(value));
  };
  put('prompt', settings.prompt, defaults.prompt);
  put('model', settings.model, defaults.model);
  const [first, second] = settings.variants;
  put('attention', first!.attention, defaults.variants[0]!.attention);
  put('eviction', first!.eviction, defaults.variants[0]!.eviction);
  if (first!.kvBudget !== undefined) given.set('kv_budget', String(first!.kvBudget));
  if (second) {
    given.set('attention2', second.attention);
    put('eviction2', second.eviction, 'none');
    if (second.kvBudget !== undefined) given.set('kv_budget2', String(second.kvBudget));
  }
  put('backend', settings.backend, defaults.backend);
  for (const [key, { name }] of Object.entries(numbers)) put(name, settings[key as NumberSetting], defaults[key as NumberSetting]);
  return given.toString();
}

/** The settings of an address. Whatever it does not say, or says wrongly, is the default; specs are checked where they are used. */
export function fromFragment(fragment: string): Settings {
  const given = new URLSearchParams(fragment.replace(/^#/, ''));
  const text = (name: string, standard: string) => given.get(name) || standard;
  const budget = (name: string) => {
    const kvBudget = readBudget(given.get(name));
    return kvBudget === undefined ? {} : { kvBudget };
  };
  const first = defaults.variants[0]!;
  const second = given.get('attention2');
  const backend = given.get('backend') as BackendChoice;
  const read = Object.fromEntries(
    Object.entries(numbers).map(([key, { name }]) => [key, readNumber(key as NumberSetting, given.get(name) ?? '') ?? defaults[key as NumberSetting]]),
  ) as Pick<Settings, NumberSetting>;
  return {
    prompt: text('prompt', defaults.prompt),
    model: text('model', defaults.model),
    variants: [
      { attention: text('attention', first.attention), eviction: text('eviction', first.eviction), ...budget('kv_budget') },
      ...(second ? [{ attention: second, eviction: text('eviction2', 'none'), ...budget('kv_budget2') }] : []),
    ],
    backend: backendChoices.includes(backend) ? backend : defaults.backend,
    ...read,
  };
}
