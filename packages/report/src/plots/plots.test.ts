import { DOMParser } from '@xmldom/xmldom';
import { describe, expect, it } from 'vitest';

import { budgetPlot } from './budget-plot';
import { curvesPlot, spreadLabels } from './curves-plot';
import { dodge } from './dodge';
import { curvesOf, frontierReport, fullReport, mixed, reportOf, result, sentence } from '../fixtures';
import { expertColours, methodStyle, Palette } from './palette';
import { renderChart } from './render';
import { sentenceStrip } from './sentence-strip';
import { summarise } from '../summary';

/** The elements of an SVG document; throws where it is not well-formed XML. */
function elements(svg: string, name: string) {
  const document = new DOMParser({ onError: (_level, message) => { throw new Error(message); } }).parseFromString(svg, 'image/svg+xml');
  expect(document.documentElement!.tagName).toBe('svg');
  return [...document.getElementsByTagName(name)];
}
const texts = (svg: string) => elements(svg, 'text').map((element) => element.textContent ?? '');
/** Marks of one kind that Vega drew (its axes and legends are of other kinds). */
const marks = (svg: string, description: string) =>
  elements(svg, 'path').filter((path) => path.getAttribute('aria-roledescription') === description);

const place = (mark: { getAttribute(name: string): string | null }) => /translate\(([\d.]+),([\d.]+)\)/.exec(mark.getAttribute('transform')!)!.slice(1).map(Number) as [number, number];

const LABELS = [
  'MHA: 38.12', 'GQA 2: 39.40', 'CLA 2: 41.77', 'mixSGA 3:1:6: 40.90', 'mixSGA 1:1:2: 41.30',
  'mixSGA 3:1:6, random router: 43.02', 'mixSGA 3:1:6, no consistency loss: 44.60',
];

describe('budgetPlot', () => {
  it('has a mark for each method, a hollow one for prefill where the method routes, and every label', async () => {
    const svg = await budgetPlot(fullReport([1]));
    const points = marks(svg, 'point');
    expect(points).toHaveLength(7 + 4);
    expect(points.filter((point) => point.getAttribute('fill') === '#ffffff')).toHaveLength(4);
    for (const [i] of LABELS.entries()) {
      const { colour } = methodStyle(i);
      expect(points.filter((point) => point.getAttribute('stroke') === colour && point.getAttribute('fill') === colour)).toHaveLength(1);
    }
    expect(texts(svg)).toEqual(expect.arrayContaining([...LABELS, '3,07250 %', '6,144100 %']));
  });

  it('stands at the bytes that were really used, and moves what covers one another by no more than a mark', async () => {
    const report = reportOf([
      result({ name: 'MHA', attention: 'mha', kvBudget: 1, kvBytesPerToken: 4096, decode: 30 }),
      result({ kvBytesPerToken: 2048, decode: 38 }),
      result({ name: 'CLA 2', attention: 'cla:2', kvBytesPerToken: 2048, decode: 38.02 }),
      mixed({ kvBytesPerToken: 2049, realisedKvBytesPerToken: { decode: 2433, prefill: 2053 }, decode: 40, prefill: 39 }),
      // Of a report from before bytes were counted: 0.59403 of 4,096 bytes, and the byte of the index.
      mixed({ name: 'older', kvBytesPerToken: 2049, realisedKvBytesPerToken: undefined, realisedKvBudget: { decode: 0.59403, prefill: 0.50098 }, decode: 46 }),
    ]);
    const [mha, gqa, cla, mix, mixPrefill, older] = marks(await budgetPlot(report), 'point').map((point) => place(point)[0]);
    const octave = mha! - (gqa! + cla!) / 2;
    const expected = (bytes: number) => mha! + octave * Math.log2(bytes / 4096);
    expect(cla! - gqa!).toBeCloseTo(Math.sqrt(110), 2);
    expect(mix).toBeCloseTo(expected(2433), 2);
    expect(mixPrefill).toBeCloseTo(expected(2053), 2);
    expect(older).toBeCloseTo(expected(0.59403 * 4096 + 1), 1);
  });

  it('shows the range of several seeds, and none of one', async () => {
    const several = await budgetPlot(fullReport([1, 2, 3]));
    expect(marks(several, 'point')).toHaveLength(7 + 4);
    expect(several).toContain('mean of 3 seeds; bars: lowest and highest');
    expect(elements(several, 'line').length).toBeGreaterThan(elements(await budgetPlot(fullReport([1])), 'line').length);
  });

  it('draws a single method, and numbers far apart', async () => {
    expect(marks(await budgetPlot(reportOf([result({ decode: 40 })])), 'point')).toHaveLength(1);
    const far = reportOf([result({ decode: 40 }), result({ name: 'broken', attention: 'cla:2', decode: 9000 })]);
    expect(texts(await budgetPlot(far))).toContain('broken: 9,000');
  });
});

describe('the plot of methods of series', () => {
  it('has a line for each, over the bytes that tokens really take, with the range of the seeds', async () => {
    const svg = await budgetPlot(frontierReport([1, 2, 3]));
    expect(marks(svg, 'line mark').map((line) => (line.getAttribute('d')!.match(/L/g) ?? []).length)).toEqual([0, 2, 1]);
    const points = marks(svg, 'point');
    expect(points).toHaveLength(6);
    expect(texts(svg)).toEqual(expect.arrayContaining(['MHA', 'GQA', 'mixSGA', '76812.5 %', '3,07250 %', '6,144100 %', 'validation perplexity (lower is better)']));
    expect(svg).toContain('decode routing, as in generation; mean of 3 seeds; bars: lowest and highest');
    // Halves of the cache are equally far apart, and mixSGA's 1,590 bytes are more than the 1,536 that were asked for.
    const [mha, two, four, eight, , mixed] = points.map(place);
    for (const step of [mha![0] - two![0], two![0] - four![0]]) expect(step).toBeCloseTo(four![0] - eight![0], 3);
    expect(mixed![0]).toBeGreaterThan(four![0]);
    expect(elements(svg, 'line').length - elements(await budgetPlot(frontierReport([1])), 'line').length).toBe(6);
  });

  it('has a line of its own for each task that measured perplexity through a cache', async () => {
    const report = frontierReport([1, 2]);
    const half = (decode: number, bytes: number) => ({ 'h2o 50 %': { task: 'perplexity', routing: 'decode' as const, metrics: { perplexity: decode + 1, nll: 3, kv_bytes_per_token_cache: bytes / 2 } } });
    const methods = report.methods.map((method) => (method.series === 'GQA' ? { ...method, evaluations: half(method.perplexity.decode, method.kvBytesPerToken) } : method));
    const svg = await budgetPlot({ ...report, methods });
    expect(texts(svg)).toEqual(expect.arrayContaining(['KV cache', 'all tokens, f32', 'h2o 50 %']));
    const points = marks(svg, 'point');
    expect(points.map((point) => point.getAttribute('fill') === '#ffffff')).toEqual([...Array<boolean>(6).fill(false), ...Array<boolean>(3).fill(true)]);
    const places = points.map(place);
    expect(places).toHaveLength(6 + 3);
    expect(places[6]![0]).toBeCloseTo(places[2]![0], 3); // GQA 2 of half of its tokens takes what GQA 4 takes
    expect(marks(svg, 'line mark')).toHaveLength(4);
  });

  it('joins tasks whose names differ after " at " to one line', async () => {
    const report = frontierReport([1]);
    const through = (name: string, share: number) => ({ [name]: { task: 'perplexity', routing: 'decode' as const, metrics: { perplexity: 40 - share, nll: 3, kv_bytes_per_token_cache: 4096 * share } } });
    const evaluations = { ...through('KV budget at 64 bytes', 0.5), ...through('KV budget at 32 bytes', 0.25) };
    const svg = await budgetPlot({ ...report, methods: report.methods.map((method) => (method.series === 'MHA' ? { ...method, evaluations } : method)) });
    expect(texts(svg)).toEqual(expect.arrayContaining(['all tokens, f32', 'KV budget']));
    expect(texts(svg).filter((text) => text.includes('bytes'))).toHaveLength(1); // of the axis
    expect(marks(svg, 'point').filter((point) => point.getAttribute('fill') === '#ffffff')).toHaveLength(2);
  });

  it('takes a logarithmic axis of perplexity where numbers are far apart', async () => {
    const report = frontierReport([1]);
    const far = { ...report, methods: report.methods.map((method, i) => (i === 3 ? { ...method, perplexity: { decode: 900, prefill: 900 } } : method)) };
    const [mha, two, , eight] = marks(await budgetPlot(far), 'point').map((mark) => place(mark)[1]);
    expect((mha! - two!) / (mha! - eight!)).toBeCloseTo(Math.log(39.4 / 38.1) / Math.log(900 / 38.1), 3);
  });
});

describe('curvesPlot', () => {
  const draw = (seeds: number[]) => {
    const report = fullReport(seeds);
    return curvesPlot(curvesOf(report), summarise(report));
  };

  it('has a line, a mark and a label for each method', async () => {
    const svg = await draw([1]);
    expect(marks(svg, 'line mark')).toHaveLength(7);
    expect(marks(svg, 'point')).toHaveLength(7);
    for (const name of ['MHA', 'GQA 2', 'CLA 2', 'mixSGA 3:1:6', 'mixSGA 3:1:6, random router']) {
      expect(texts(svg).filter((text) => new RegExp(`^${name}: \\d\\.\\d{3}$`).test(text))).toHaveLength(1);
    }
    expect(marks(svg, 'area mark')).toHaveLength(0);
  });

  it('shades the range of several seeds', async () => {
    const svg = await draw([1, 2, 3]);
    expect(marks(svg, 'line mark')).toHaveLength(7);
    expect(marks(svg, 'area mark')).toHaveLength(7);
  });
});

describe('spreadLabels', () => {
  it('leaves what is apart, and moves what is not by as little as it can', () => {
    expect(spreadLabels([3, 1, 2], 1)).toEqual([3, 1, 2]);
    expect(spreadLabels([5, 5], 1)).toEqual([4.5, 5.5]);
    expect(spreadLabels([0, 10, 10.25, 10.5], 1)).toEqual([0, 9.25, 10.25, 11.25]);
    expect(spreadLabels([], 1)).toEqual([]);
  });

  it('keeps the order and the gap', () => {
    const values = Array.from({ length: 12 }, (_, i) => Math.sin(i * i));
    const placed = spreadLabels(values, 0.4);
    const order = [...values.keys()].sort((a, b) => values[a]! - values[b]!);
    for (let i = 1; i < order.length; i++) expect(placed[order[i]!]! - placed[order[i - 1]!]!).toBeGreaterThanOrEqual(0.4 - 1e-9);
  });
});

describe('sentenceStrip', () => {
  it('has a box in the right colour for every token and layer', () => {
    const svg = sentenceStrip(sentence);
    const colours = expertColours(3);
    const boxes = elements(svg, 'rect').filter((rect) => rect.hasAttribute('data-expert'));
    expect(boxes).toHaveLength(sentence.experts.length * sentence.tokens.length);
    for (const box of boxes) expect(box.getAttribute('fill')).toBe(colours[Number(box.getAttribute('data-expert'))]);
    // Document order: token by token, its layers from the first.
    expect(boxes.map((box) => Number(box.getAttribute('data-expert')))).toEqual(
      sentence.tokens.flatMap((_, t) => sentence.experts.map((layer) => layer[t])),
    );
  });

  it('keeps every box inside the picture, and every word as text', () => {
    const svg = sentenceStrip(sentence);
    for (const box of elements(svg, 'rect').filter((rect) => rect.hasAttribute('data-expert'))) {
      expect(Number(box.getAttribute('x')) + Number(box.getAttribute('width'))).toBeLessThanOrEqual(760);
    }
    const words = texts(svg);
    for (const token of sentence.tokens) expect(words).toContain(token.replaceAll(' ', '·').replaceAll('\n', '↵'));
  });

  it('has a legend, and stays well-formed for tokens that XML cannot hold', () => {
    const svg = sentenceStrip({ ...sentence, tokens: ['\u0000', ' a\u0007', '\ud800', '<&>"\'', ''], experts: [[0, 1, 2, 0, 1]] });
    expect(texts(svg)).toEqual(expect.arrayContaining(['all KV heads', 'groups of 2: 50 % of the KV', 'groups of 4: 25 % of the KV', '□', '·a□', '<&>"\'']));
  });
});

describe('dodge', () => {
  it('leaves what is apart, and spreads a heap over one mark', () => {
    expect(dodge([{ x: 0, y: 0 }, { x: 10, y: 0 }, { x: 0, y: 10 }], 10)).toEqual([0, 0, 0]);
    expect(dodge([{ x: 0, y: 5 }, { x: 0, y: 0 }, { x: 4, y: 9 }], 10)).toEqual([0, 5, -5]);
    expect(dodge([], 10)).toEqual([]);
  });
});

describe('colours', () => {
  it('of a method stay from plot to plot, also where others are in another order', () => {
    const palette = new Palette();
    expect(palette.placesOf(['MHA', 'GQA', 'CLA'])).toEqual([0, 1, 2]);
    expect(palette.placesOf(['CLA', 'latent', 'MHA', 'root'])).toEqual([2, 1, 0, 3]);
    expect(palette.placesOf(['GQA', 'root', 'new'])).toEqual([1, 3, 0]);
    const twelve = palette.placesOf(Array.from({ length: 12 }, (_, i) => `m${i}`));
    expect(twelve).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  it('are those of the series in curves too', async () => {
    const report = frontierReport([1]);
    const strokes = (svg: string, kind: string) => marks(svg, kind).map((mark) => mark.getAttribute('stroke'));
    const frontier = strokes(await budgetPlot(report), 'line mark');
    const curves = strokes(await curvesPlot(curvesOf(report), summarise(report)), 'line mark');
    const [mha, gqa, mixsga] = frontier;
    expect(new Set(frontier).size).toBe(3);
    expect(curves).toEqual([mha, gqa, gqa, gqa, mixsga, mixsga]);
  });


  it('differ between methods by colour and shape, or by dash', () => {
    const styles = Array.from({ length: 12 }, (_, i) => JSON.stringify(methodStyle(i)));
    expect(new Set(styles).size).toBe(12);
  });

  it.each([2, 3, 4, 6])('of %i experts grow lighter step by step', (experts) => {
    const lightness = expertColours(experts).map((colour) => {
      const [r, g, b] = [1, 3, 5].map((at) => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2) as [number, number, number];
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    });
    for (let e = 1; e < experts; e++) expect(lightness[e]! - lightness[e - 1]!).toBeGreaterThan(0.04);
  });
});

describe('renderChart', () => {
  it('fails where Vega would draw a broken picture', async () => {
    const broken = { data: { values: [{ a: 1 }] }, mark: 'point' as const, encoding: { x: { field: 'a' } }, title: { text: 'T', subtitle: [] } };
    await expect(renderChart(broken)).rejects.toThrow();
  });
});
