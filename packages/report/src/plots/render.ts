import type { TopLevelSpec } from 'vega-lite';

import { FONT } from './svg-text';

/** Mean width of a character, on the wide side, since the reader's font is not known. */
const EM_PER_CHARACTER = 0.6;

/** Vega's text measure, which its types leave out. */
interface TextMetrics {
  width(item: { fontSize?: number }, text: string): number;
}

/** Draws a Vega-Lite chart as an SVG document, without a browser. @throws what Vega would only log, with the picture broken */
export async function renderChart(spec: TopLevelSpec): Promise<string> {
  // Loaded when first needed: together they take longer to load than most commands take to run.
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  // Without a canvas Vega takes every character for 0.8 em wide, which leaves a third of the picture empty.
  const { textMetrics } = vega as unknown as { textMetrics: TextMetrics };
  textMetrics.width = (item, text) => EM_PER_CHARACTER * (item.fontSize ?? 11) * text.length;
  const config: TopLevelSpec['config'] = {
    background: '#ffffff',
    padding: 16,
    font: FONT,
    view: { stroke: null },
    title: { anchor: 'start', frame: 'group', fontSize: 16, fontWeight: 600, subtitleFontSize: 12, subtitleColor: '#555', offset: 16, subtitlePadding: 6 },
    axis: { labelFontSize: 12, titleFontSize: 12, titleFontWeight: 'normal', titleColor: '#333', labelColor: '#333', gridColor: '#ececec', domainColor: '#999', tickColor: '#999', titlePadding: 10 },
    legend: { labelFontSize: 12, titleFontSize: 12, titleFontWeight: 'normal', labelLimit: 400, titleLimit: 400, titlePadding: 10, symbolOpacity: 1, symbolStrokeWidth: 2, rowPadding: 6, symbolSize: 110 },
  };
  const logger = vega.logger(vega.None);
  const failures: unknown[] = [];
  logger.error = (...reasons) => {
    failures.push(...reasons);
    return logger;
  };
  const view = new vega.View(vega.parse(vegaLite.compile({ config, ...spec } as TopLevelSpec).spec), { renderer: 'none', logger });
  try {
    const svg = await view.toSVG();
    if (failures.length > 0) throw failures[0];
    return `${svg}\n`;
  } finally {
    view.finalize();
  }
}
