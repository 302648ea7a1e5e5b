/** Colours of Okabe and Ito, which people with any kind of colour blindness can tell apart; a grey for the yellow, too pale on white. */
const METHOD_COLOURS = ['#000000', '#0072B2', '#E69F00', '#009E73', '#56B4E9', '#D55E00', '#CC79A7', '#7F7F7F'];
const METHOD_SHAPES = ['circle', 'square', 'diamond', 'triangle-up', 'triangle-down', 'triangle-right', 'cross', 'triangle-left'];
const DASHES = [[], [6, 3], [2, 2]];

/** How a method is drawn in every plot. */
export interface MethodStyle {
  colour: string;
  shape: string;
  dash: number[];
}

/** Styles in the order of the report; past eight methods colours come again with another shape and dash. */
export function methodStyle(index: number): MethodStyle {
  return {
    colour: METHOD_COLOURS[index % METHOD_COLOURS.length]!,
    shape: METHOD_SHAPES[(index + Math.floor(index / METHOD_COLOURS.length)) % METHOD_SHAPES.length]!,
    dash: DASHES[Math.floor(index / METHOD_COLOURS.length) % DASHES.length]!,
  };
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
