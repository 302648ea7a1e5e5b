/** Colours of Okabe and Ito, which people with any kind of colour blindness can tell apart; a grey for the yellow, too pale on white. */
const METHOD_COLOURS = ['#000000', '#0072B2', '#E69F00', '#009E73', '#56B4E9', '#D55E00', '#CC79A7', '#7F7F7F'];
const METHOD_SHAPES = ['circle', 'square', 'diamond', 'triangle-up', 'triangle-down', 'triangle-right', 'cross', 'triangle-left'];
const DASHES = [[], [6, 3], [2, 2], [8, 2, 2, 2]];

/** How a method is drawn in every plot. */
export interface MethodStyle {
  colour: string;
  shape: string;
  dash: number[];
}

/**
 * Styles by place; past eight places colours come again with another shape and dash.
 *
 * @param variant of several that share a colour, which it tells apart by shape and dash
 */
export function methodStyle(place: number, variant = 0): MethodStyle {
  const round = Math.floor(place / METHOD_COLOURS.length) + variant;
  return {
    colour: METHOD_COLOURS[place % METHOD_COLOURS.length]!,
    shape: METHOD_SHAPES[(place + round) % METHOD_SHAPES.length]!,
    dash: DASHES[round % DASHES.length]!,
  };
}

/** Places of methods in {@link methodStyle}: what has one keeps it in every plot that the palette is used for. */
export class Palette {
  readonly #places = new Map<string, number>();

  /** Places of methods that stand in one plot, in order; those without one get the first whose colour none of the others has. */
  placesOf(names: readonly string[]): number[] {
    const taken = new Set(names.flatMap((name) => this.#places.get(name) ?? []).map((place) => place % METHOD_COLOURS.length));
    const free = [...METHOD_COLOURS.keys()].filter((place) => !taken.has(place));
    let more = METHOD_COLOURS.length;
    for (const name of names) if (!this.#places.has(name)) this.#places.set(name, free.shift() ?? more++);
    return names.map((name) => this.#places.get(name)!);
  }
}

/** A method, and of which series it is one. */
export interface Named {
  readonly name: string;
  readonly series: string | null;
}

/** How the methods of a report are drawn, by their names and by those of their series: a series has one colour. */
export function stylesOf(methods: readonly Named[], palette = new Palette()): ReadonlyMap<string, MethodStyle> {
  const keys = [...new Set(methods.map(keyOf))];
  const places = new Map(palette.placesOf(keys).map((place, i) => [keys[i]!, place]));
  const members = new Map<string, number>();
  const styles = new Map<string, MethodStyle>(keys.map((key) => [key, methodStyle(places.get(key)!)]));
  for (const method of methods) {
    const key = keyOf(method);
    const variant = members.get(key) ?? 0;
    members.set(key, variant + 1);
    if (method.name !== key) styles.set(method.name, methodStyle(places.get(key)!, variant));
  }
  return styles;
}

function keyOf({ name, series }: Named): string {
  return series ?? name;
}

/**
 * Colours from the costliest expert to the cheapest: darkness falls with what is stored, so that they differ in a
 * grey print and to any eye.
 */
const EXPERT_COLOURS: Record<number, string[]> = {
  1: ['#0B3C6F'],
  2: ['#0B3C6F', '#F7D9A8'],
  3: ['#0B3C6F', '#E8871E', '#F3E9D2'],
  4: ['#0B3C6F', '#2E8B9A', '#F0A63C', '#F3E9D2'],
};

export function expertColours(experts: number): string[] {
  return EXPERT_COLOURS[experts] ?? Array.from({ length: experts }, (_, e) => ramp(e / (experts - 1)));
}

/** Between the darkest and the palest expert colour. */
function ramp(at: number): string {
  const mix = (from: number, to: number) => Math.round(from + (to - from) * at).toString(16).padStart(2, '0');
  return `#${mix(0x0b, 0xf3)}${mix(0x3c, 0xe9)}${mix(0x6f, 0xd2)}`;
}
