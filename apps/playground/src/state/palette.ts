// Colours of experts. What a token keeps is shown twice: by colour, and by how far its mark is filled.

import type { RunView } from './run-view';

export type Theme = 'light' | 'dark';

/** From the costliest expert to the cheapest: blue, orange, grey, which differ to any eye in hue or lightness. */
const stops: Readonly<Record<Theme, readonly (readonly [number, number, number])[]>> = {
  light: [[0x7d, 0xb3, 0xea], [0xf2, 0xb0, 0x58], [0xa9, 0xae, 0xb6]],
  dark: [[0x2f, 0x6f, 0xb5], [0xa8, 0x67, 0x14], [0x5d, 0x64, 0x6e]],
};

/** Of an expert, by its number and the number of all. */
export function expertTone(expert: number, experts: number, theme: Theme): string {
  const scale = stops[theme];
  const at = (experts > 1 ? Math.min(1, expert / (experts - 1)) : 0) * (scale.length - 1);
  const low = Math.min(scale.length - 2, Math.floor(at));
  const mixed = scale[low]!.map((value, i) => Math.round(value + (scale[low + 1]![i]! - value) * (at - low)));
  return `#${mixed.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}

/** Of a token in a layer; one colour for the mean over layers, where the fill alone tells. */
export function toneOf(run: Pick<RunView, 'expert' | 'kept'>, layer: number | null, token: number, theme: Theme): string {
  return expertTone(layer === null ? 0 : run.expert(layer, token), run.kept.length, theme);
}
