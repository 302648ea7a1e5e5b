import { expect, it, vi } from 'vitest';

it('loads Vega when a chart is drawn, and not before', async () => {
  const load = vi.fn();
  for (const name of ['vega', 'vega-lite']) {
    vi.doMock(name, (original) => {
      load(name);
      return original();
    });
  }
  await import('../index');
  const { renderChart } = await import('./render');
  expect(load).not.toHaveBeenCalled();
  const svg = await renderChart({ data: { values: [{ x: 1, y: 2 }] }, mark: 'point', encoding: { x: { field: 'x', type: 'quantitative' }, y: { field: 'y', type: 'quantitative' } } });
  expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
  expect(load.mock.calls.flat().sort()).toEqual(['vega', 'vega-lite']);
});
