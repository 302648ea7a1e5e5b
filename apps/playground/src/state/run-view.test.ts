import { describe, expect, it } from 'vitest';
import { pictures } from '../pictures/pictures';
import { EVICTED, type RunEvent, type RunStarted } from '../protocol';
import { exportRuns } from './export';
import { meterRows } from './meter';
import { RunView, UNKNOWN } from './run-view';
import { defaults } from './settings';

const started: RunStarted = {
  type: 'started', backend: 'wasm', backendDetail: 'WebAssembly', weights: 'f32', prompt: [{ id: 1, text: 'A' }, { id: 2, text: ' <b>' }], generated: [],
  cacheLayers: [0, 1], kept: [1, 0.5, 0.25].map((share) => ({ share, text: `${8 * share} of 8 heads` })), ratios: [0.3, 0.1, 0.6], kvBudget: null, mhaPerToken: 1000, gqaPerToken: 500, tokensAtMost: 4,
};

function step(id: number, first: number, experts: readonly number[], tokensSeen: number): RunEvent {
  return {
    type: 'step', token: { id, text: ` t${id}` }, first, experts: Uint8Array.from(experts), speed: { prefill: 10, decode: 20 },
    cache: { tokensSeen, tokensKept: tokensSeen, bytesUsed: 550 * tokensSeen, bytesAllocated: 3000, expertCounts: [1, 1, 2] },
  };
}

const facts = { name: 'm', family: 'opt', layers: 2, kvHeads: 8, headDim: 8, contextLength: 64, parameters: 1, attention: 'mha', warnings: [] };

function run(...events: RunEvent[]): RunView {
  const view = new RunView({ attention: 'mixsga:3:1:6', eviction: 'none' }, { settings: defaults, model: facts });
  for (const event of [started, ...events]) view.apply(event);
  return view;
}

describe('RunView', () => {
  it('knows tokens and their experts as they come', () => {
    const view = run(step(3, 0, [0, 1, 2, 2], 2));
    expect(view.text).toBe(' t3');
    expect(view.known).toBe(2);
    expect([view.expert(0, 0), view.expert(0, 1), view.expert(1, 0), view.expert(1, 1), view.expert(0, 2)]).toEqual([0, 1, 2, 2, UNKNOWN]);
    expect([view.share(0, 0), view.share(0, 1), view.share(1, 0), view.share(null, 0), view.share(0, 2)]).toEqual([1, 0.5, 0.25, 0.625, null]);
    view.apply(step(4, 2, [1, 0], 3));
    expect([view.expert(0, 2), view.expert(1, 2)]).toEqual([1, 0]);
    expect(view.generated).toEqual([3, 4]);
  });

  it('keeps the expert of a token that was evicted', () => {
    const view = run(step(3, 0, [0, 1, 2, 2], 2), step(4, 0, [EVICTED, 1, 0, 2, EVICTED, 1], 3));
    expect(view.expert(0, 0)).toBe(0);
    expect([view.isEvicted(0, 0), view.isEvicted(1, 0), view.isEvicted(1, 1)]).toEqual([true, false, true]);
    expect([view.share(0, 0), view.share(null, 0)]).toEqual([0, 0.125]);
    expect(view.changes).toBe(2);
    // Evicted before its expert was read.
    expect(run(step(3, 0, [EVICTED, 1, 2, 2], 2)).expert(0, 0)).toBe(EVICTED);
  });

  it('says what is kept of a token in a layer', () => {
    const view = run(step(3, 0, [0, 1, 2, 2], 2), step(4, 0, [EVICTED, 1, 0, 2, EVICTED, 1], 3));
    expect([view.keptText(0, 0), view.keptText(0, 1), view.keptText(1, 0), view.keptText(0, 3)]).toEqual(['nothing, evicted', '4 of 8 heads', '2 of 8 heads', 'not known']);
  });

  it('shows layers that share keys and values what the cache has of theirs', () => {
    const view = new RunView({ attention: 'cla:2', eviction: 'none' }, { settings: defaults, model: facts });
    const kept = [{ share: 0.5, text: 'all 8 heads, shared by 2 layers' }];
    for (const event of [{ ...started, cacheLayers: [0, 0, 1, 1], kept }, step(3, 0, [0, EVICTED, 0, 0], 2)]) view.apply(event);
    expect([0, 1, 2, 3].map((layer) => view.share(layer, 1))).toEqual([0, 0, 0.5, 0.5]);
    expect([view.layers, view.share(null, 0), view.share(null, 1)]).toEqual([4, 0.5, 0.25]);
  });

  it('follows a token that is coarsened', () => {
    const view = run(step(3, 0, [0, 1, 2, 2], 2), step(4, 0, [2, 1, 0, 2, 2, 1], 3));
    expect([view.expert(0, 0), view.share(0, 0), view.isEvicted(0, 0), view.changes]).toEqual([2, 0.25, false, 1]);
  });

  it('begins anew on another backend, with the tokens so far', () => {
    const view = run(step(3, 0, [0, 1, 2, 2], 2));
    view.apply({ ...started, backend: 'cpu', generated: [{ id: 3, text: ' t3' }] });
    expect(view.known).toBe(0);
    view.apply(step(4, 0, [0, 1, 1, 2, 2, 0], 3));
    expect(view.generated).toEqual([3, 4]);
    view.apply({ type: 'recovered', backend: 'webgpu', after: 2 });
    expect(view.notes).toEqual(['The device was lost after 2 tokens; the text goes on, on webgpu.']);
  });

  it('knows how far a phase is, and where a prompt was stopped', () => {
    const view = run({ type: 'phase', phase: 'prompt' }, { type: 'progress', done: 0.25 });
    expect(view.progress).toBe(0.25);
    const stopped = run({ type: 'phase', phase: 'prompt' }, { type: 'progress', done: 0.75 });
    stopped.end({ finish: 'cancelled', tokens: [], routing: null });
    expect([stopped.status, stopped.progress]).toEqual(['stopped', 0.75]);
    view.apply(step(3, 0, [0, 1, 2, 2], 2));
    expect(view.progress).toBeNull();
    for (const event of [{ type: 'phase', phase: 'inspecting' }, { type: 'progress', done: 0.5 }] as const) view.apply(event);
    view.end({ finish: 'length', tokens: [], routing: null });
    expect([view.status, view.progress]).toEqual(['done', null]);
    const failed = run({ type: 'progress', done: 0.75 });
    failed.fail({ kind: 'backend', message: 'no' });
    expect(failed.progress).toBeNull();
  });

  it('notes what it was warned of', () => {
    expect(run({ type: 'warning', message: 'slow' }).notes).toEqual(['slow']);
  });

  it('ends well, stopped or failed', () => {
    const [done, stopped, failed, cancelled] = [run(), run(), run(), run()];
    done.end({ finish: 'length', tokens: [], routing: null });
    stopped.end({ finish: 'cancelled', tokens: [], routing: null });
    failed.fail({ kind: 'backend', message: 'no' });
    cancelled.fail({ kind: 'cancelled', message: 'aborted' });
    expect([done, stopped, failed, cancelled].map(({ status }) => status)).toEqual(['done', 'stopped', 'failed', 'stopped']);
    expect([failed.failure?.message, cancelled.failure]).toEqual(['no', null]);
  });
});

describe('a run', () => {
  const view = run(step(3, 0, [0, 1, 2, 2], 2), step(4, 2, [1, 0], 3));
  view.end({
    finish: 'length', tokens: [3, 4],
    routing: { agreement: 0.5, agreementByLayer: [0.25, 0.75], scores: [0, 1].map((layer) => Float32Array.from({ length: 9 }, (_, i) => layer + i / 10)) },
  });

  it('is metered against MHA and GQA', () => {
    const { rows, scale, reserved } = meterRows(view);
    expect(rows.map(({ bytes, share }) => [bytes, share])).toEqual([[3000, null], [1500, 0.5], [1650, 0.55]]);
    expect([scale, reserved]).toEqual([4000, 3000]);
    expect(meterRows({ started: null, cache: null, variant: view.variant }).rows.map(({ share }) => share)).toEqual([null, null]);
  });

  it('is exported with what was decided', () => {
    const data = JSON.parse(exportRuns([view])) as { runs: { tokens: object[]; agreement: number; text: string }[] };
    expect(data).toMatchObject({ format: 'mixsga-playground/1', settings: defaults, model: facts });
    expect(data.runs[0]).toMatchObject({ attention: 'mixsga:3:1:6', finish: 'length', text: ' t3 t4', agreement: 0.5, promptTokens: 2, kept: started.kept });
    expect(data.runs[0]!.tokens[1]).toEqual({ id: 2, text: ' <b>', experts: [1, 2], scores: [[0.3, 0.4, 0.5], [1.3, 1.4, 1.5]] });
    expect(data.runs[0]!.tokens[3]).toEqual({ id: 4, text: ' t4' });
  });

  it.each(['text', 'map', 'meter'] as const)('is drawn as SVG: %s', (name) => {
    const svg = pictures[name](view, 0);
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="\d+" height="\d+" /);
    expect(svg).not.toMatch(/NaN|undefined|<b>/);
    expect(svg.match(/<rect /g)!.length).toBeGreaterThan(3);
  });
});
