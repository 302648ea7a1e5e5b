import type { Tensor } from '@tensorflow/tfjs-core';
import { slotOf } from '../../inference/host-pages';
import { TOKENS_PER_PAGE } from '../../inference/pages';
import { poolingFactor } from '../../inference/pooling';
import type { AttendOptions, GroupedKernels, Grouping, LayerView, Route, StorePlan } from '../../inference/runtime';
import {
  attendProgram, combineProgram, headsOfWorkgroup, type Part, partialSize, partsOf, probabilityProgram, sumProgram, tilesOf,
} from '../../inference/webgpu/attention';
import { Workspace } from '../../inference/webgpu/memory';
import type { WebgpuPages } from '../../inference/webgpu/pages';
import { storeGroups, storeProgram, storeProjectedProgram } from '../../inference/webgpu/products';
import type { WebgpuKv, WebgpuRows } from '../../inference/webgpu/residents';
import { distortionsProgram, elementwise, groupProgram } from '../../inference/webgpu/rows';
import { DeviceRoute, type Step } from '../../inference/webgpu/step';
import type { WebgpuDevice } from '../../webgpu/device';

/** On the device, where routes may be too. */
export class WebgpuGrouped implements GroupedKernels {
  readonly #workspace: Workspace;

  /** @param step what is collected for the next read */
  constructor(
    private readonly device: WebgpuDevice,
    private readonly step: () => Step,
  ) {
    this.#workspace = Workspace.of(device);
  }

  store(weights: WebgpuKv, x: WebgpuRows, row: number, route: Route, view: LayerView, angles?: WebgpuRows): void {
    const { both, groupSizes, headDim, pooling } = weights;
    const { layout, weights: matrix, scales, bias, product } = both;
    for (const { expert, store, to, place } of this.#targets(route, view)) {
      const groupSize = groupSizes[expert]!;
      this.device.run(storeProgram(layout), {
        result: to,
        inputs: { x: x.tensor, weights: matrix, scales, bias, routes: this.#routesOrNone(route), angles: angles?.tensor ?? bias },
        uniforms: {
          ...product, row, stored: store.heads, headDim, groupSize, factor: poolingFactor(pooling, groupSize),
          route: placeOf(route), expert, ...place, angle0: angles ? row * angles.width : -1,
        },
        groups: storeGroups(store.heads, headDim),
      });
      this.#quantise(to, route, expert, view);
    }
  }

  storeProjected({ headDim, groupSizes, pooling }: Grouping, k: WebgpuRows, v: WebgpuRows, row: number, route: Route, view: LayerView): void {
    for (const { expert, store, to, place } of this.#targets(route, view)) {
      const groupSize = groupSizes[expert]!;
      this.device.run(storeProjectedProgram, {
        result: to,
        inputs: { k: k.tensor, v: v.tensor, routes: this.#routesOrNone(route) },
        uniforms: {
          row, stored: store.heads, headDim, groupSize, factor: poolingFactor(pooling, groupSize), route: placeOf(route), expert, ...place,
        },
        groups: elementwise(2 * store.heads * headDim),
      });
      this.#quantise(to, route, expert, view);
    }
  }

  attend(q: WebgpuRows, row: number, view: LayerView, route: Route | null, out: WebgpuRows, options: AttendOptions): void {
    const { heads, scale, softCap = 0, onProbabilities } = options;
    const headDim = q.width / heads;
    let count = 0;
    const segments = view.segments.map((segment, expert) => {
      const certain = route?.expert === expert;
      const pending = certain || (route && route.expert === null && expert < view.slots.length) ? { slot: view.slots[expert]!, certain } : null;
      const first = count;
      count += segment.tokens + (pending ? 1 : 0);
      const parts = partsOf(segment, pending, first, onProbabilities !== undefined);
      return { expert, first, store: segment.store as WebgpuPages, parts };
    });
    const tiles = segments.flatMap(({ parts }) => parts).reduce((sum, part) => sum + tilesOf(part), 0);
    const partialsSize = tiles * heads * partialSize(headDim);
    const scores = onProbabilities ? partialsSize : -1;
    const partials = this.#workspace.partials.take(partialsSize + (onProbabilities ? heads * count : 0));
    let tile = 0;
    for (const { expert, store, parts } of segments) {
      const groupHeads = headsOfWorkgroup(heads / store.heads);
      for (const part of parts) {
        const chunks = part.chunks.length > 2 ? 4 : (part.chunks.length as 1 | 2);
        const entries = this.#workspace.numbers.put(Int32Array.from(part.entries));
        this.device.run(attendProgram({ type: store.type, headDim, heads: groupHeads, chunks }), {
          result: partials,
          inputs: { q: q.tensor, numbers: this.#workspace.numbers.tensor, routes: this.#routesOrNone(route), ...chunkInputs(part) },
          uniforms: {
            q0: row * q.width, scale, softCap, heads, stored: store.heads, entries, segment: expert, route: placeOf(route), tile,
            scores, count,
          },
          groups: [heads / groupHeads, tilesOf(part)],
        });
        tile += tilesOf(part);
      }
    }
    const shape = { tiles, heads, headDim };
    this.device.run(combineProgram, {
      result: out.tensor,
      inputs: { partials },
      uniforms: { ...shape, to: row * out.width },
      groups: [heads, Math.ceil(headDim / 64)],
    });
    if (!onProbabilities) return;
    const sums = this.#workspace.sums.take(2 * heads);
    this.device.run(sumProgram, { result: sums, inputs: { partials }, uniforms: shape, groups: elementwise(heads) });
    const lengths = view.segments.map(({ tokens }) => tokens);
    const to = this.step().observe(count, (probabilities) => {
      for (const { expert, first } of segments) {
        onProbabilities(expert, probabilities.subarray(first, first + lengths[expert]! + (route?.expert === expert ? 1 : 0)));
      }
    });
    this.device.run(probabilityProgram, {
      result: this.step().observed, inputs: { partials, sums }, uniforms: { scores, count, heads, to }, groups: elementwise(count),
    });
  }

  group({ groupSizes, headDim, pooling }: Grouping, k: WebgpuRows, v: WebgpuRows, experts: Int32Array): void {
    const sizes = this.#workspace.numbers.put(Int32Array.from([...groupSizes, ...experts]));
    for (const { tensor, width } of [k, v]) {
      this.device.run(groupProgram, {
        result: tensor,
        inputs: { numbers: this.#workspace.numbers.tensor },
        uniforms: { sizes, experts: sizes + groupSizes.length, width, headDim, root: pooling === 'root' ? 1 : 0 },
        groups: elementwise(width, experts.length),
      });
    }
  }

  distortions({ groupSizes, headDim, pooling }: Grouping, k: WebgpuRows, v: WebgpuRows, out: WebgpuRows, rows: number): void {
    const sizes = this.#workspace.numbers.put(Int32Array.from([1, ...groupSizes]));
    const columns = groupSizes.length + 1;
    for (const [kind, { tensor, width }] of [k, v].entries()) {
      this.device.run(distortionsProgram, {
        result: out.tensor,
        inputs: { x: tensor, numbers: this.#workspace.numbers.tensor },
        uniforms: { sizes, width, headDim, root: pooling === 'root' ? 1 : 0, to: kind * columns, toStride: out.width },
        groups: [columns, rows],
      });
    }
  }

  storeRows(k: WebgpuRows, v: WebgpuRows, plans: readonly StorePlan[]): void {
    for (const { segment, firstSlot, rows } of plans) {
      const store = segment.store as WebgpuPages;
      const groupSize = k.width / (store.heads * store.headDim);
      const tokens = Array.from(rows, (row, i) => ({ row, to: slotOf(segment, firstSlot + i) }));
      store.storeRows(tokens, { k: k.tensor, v: v.tensor, groupSize });
    }
  }

  /** Where a token goes under each expert that it may have. What is to be quantised goes to a page of one token first. */
  *#targets(route: Route, { segments, slots }: LayerView) {
    for (const expert of route.expert === null ? slots.keys() : [route.expert]) {
      const store = segments[expert]!.store as WebgpuPages;
      const { page, offset } = slots[expert]!;
      yield store.type === 'int8'
        ? { expert, store, to: this.#workspace.partials.take(2 * store.heads * store.headDim), place: { page: 0, tokens: 1, offset: 0 } }
        : { expert, store, to: store.place(page).chunk, place: { page: store.base(page), tokens: TOKENS_PER_PAGE, offset } };
    }
  }

  /** A token of int8 pages from where {@link #targets} let it go. */
  #quantise(from: Tensor, route: Route, expert: number, { segments, slots }: LayerView): void {
    const store = segments[expert]!.store as WebgpuPages;
    if (store.type !== 'int8') return;
    store.storeRows([{ row: 0, to: slots[expert]! }], {
      k: from, v: from, v0: store.heads * store.headDim, groupSize: 1, route: { routes: this.#routesOrNone(route), at: placeOf(route), expert },
    });
  }

  /** What to bind as routes: any integers where the host knows the expert. */
  #routesOrNone(route: Route | null): Tensor {
    return route && route.expert === null ? this.step().routes : this.#workspace.numbers.tensor;
  }
}

function placeOf(route: Route | null): number {
  return route instanceof DeviceRoute && route.expert === null ? route.at : -1;
}

/** Four chunks, of which programs read as many as they have. */
function chunkInputs({ chunks }: Part) {
  const chunk = (i: number) => chunks[i] ?? chunks[0]!;
  return { chunk0: chunk(0), chunk1: chunk(1), chunk2: chunk(2), chunk3: chunk(3) };
}
