// Formats of any kind, by `encode` and `decode`: what is stored lies on the host, and a step reads every cached token back.
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { ArgumentError } from '../../errors';
import { HostPages, slotOf } from '../../inference/host-pages';
import { type PageStore, type Segment, type Slot, TOKENS_PER_PAGE } from '../../inference/pages';
import { attendTokens, type SeenTokens } from '../../inference/reference/attention';
import type { PageFormat, Route, Rows, StorePlan } from '../../inference/runtime';
import type { KvFormat } from '../format';
import type { KvRows, LayerAttention, LayerSetting, Projected, StepQueries, StepRows, ThroughOptions } from '../layer-attention';
import { distortionsOf, lostByFormats } from '../lost';
import { projectRows } from '../project';
import { asStored, decoded, encoded, hostRows, picked } from './host-rows';

export class MeaningAttention implements LayerAttention {
  readonly path: LayerAttention['path'] = 'reference';
  readonly projects: boolean = true;
  readonly isExact = false;
  readonly formats: readonly KvFormat[];
  /** By name, as far as they were needed. */
  readonly #coarserFormats = new Map<string, KvFormat>();

  /** @throws ArgumentError when a format has coarser forms without a meaning */
  constructor(protected readonly setting: LayerSetting) {
    this.formats = setting.formats;
    const lacking = this.formats.find(({ coarser, meaningOf }) => coarser && !meaningOf);
    if (lacking) throw new ArgumentError(`format ${lacking.name}: expected meaningOf, by which tokens of its coarser forms are read back, got none`);
  }

  pages(format: PageFormat): PageStore {
    return new HostPages(format);
  }

  project(x: Rows, rows: number, to: KvRows, angles: Rows | null): void {
    projectRows(this.setting, x, rows, to, angles);
  }

  async routerInput(x: Rows, rows: number, { k, v, lost: to }: Projected): Promise<Rows> {
    const { runtime, readsLost, formats } = this.setting;
    if (!readsLost) return x;
    const [keys, values] = [await hostRows(runtime, k, rows), await hostRows(runtime, v, rows)];
    const lost = tf.tidy(() => {
      const [own, ownV] = [tf.tensor(keys, [rows, k.width]) as Tensor2D, tf.tensor(values, [rows, v.width]) as Tensor2D];
      return distortionsOf(own, ownV, lostByFormats(own, ownV, formats));
    });
    try {
      runtime.write(await lost.data<'float32'>(), to!);
    } finally {
      lost.dispose();
    }
    return to!;
  }

  async through({ k, v }: KvRows, rows: number, { assigned, plans, change }: ThroughOptions): Promise<void> {
    const { runtime, formats, type } = this.setting;
    const [keys, values] = [await hostRows(runtime, k, rows), await hostRows(runtime, v, rows)];
    for (const [index, format] of formats.entries()) {
      const own = Int32Array.from({ length: rows }, (_, row) => row).filter((row) => (assigned?.[row] ?? 0) === index);
      if (own.length === 0) continue;
      const stored = asStored(format, await encoded(format, picked(keys, own, k.width), picked(values, own, v.width)), type);
      const plan = plans?.find(({ rows: [first] }) => (assigned?.[first!] ?? 0) === index);
      if (plan) writeStored(plan, stored, own.length);
      const read = await decoded(format, stored);
      own.forEach((row, i) => {
        keys.set(read.k.subarray(i * k.width, (i + 1) * k.width), row * k.width);
        values.set(read.v.subarray(i * v.width, (i + 1) * v.width), row * v.width);
      });
    }
    runtime.write(keys, k);
    runtime.write(values, v);
    change?.({ k, v });
  }

  async store({ x, rows, projected, angles, views }: StepRows): Promise<readonly Route[]> {
    const { runtime, formats } = this.setting;
    const { k, v } = projected!;
    this.project(x, rows, projected!, angles);
    const experts = await this.#decide(await this.routerInput(x, rows, projected!), rows);
    const [keys, values] = [await hostRows(runtime, k, rows), await hostRows(runtime, v, rows)];
    for (const [row, expert] of experts.entries()) {
      const own = Int32Array.of(row);
      const { page, offset } = views[row]!.slots[expert]!;
      const stored = await encoded(formats[expert]!, picked(keys, own, k.width), picked(values, own, v.width));
      views[row]!.segments[expert]!.store.write(page, offset, stored, new Float32Array(0));
    }
    return Array.from(experts, (expert) => ({ expert }));
  }

  async attend({ q, out, views, routes, observers, ...options }: StepQueries): Promise<void> {
    const { runtime, formats, projections } = this.setting;
    const queries = await hostRows(runtime, q, views.length);
    const results = new Float32Array(queries.length);
    for (const [row, { segments, slots }] of views.entries()) {
      const seen: SeenTokens[] = [];
      for (const [index, segment] of segments.entries()) {
        const pending = routes[row]!.expert === index ? slots[index]! : null;
        // Segments beyond the formats have what was coarsened.
        seen.push(await readBack(formats[index] ?? this.#coarser(segment), segment, pending));
      }
      const own = queries.subarray(row * q.width, (row + 1) * q.width);
      const { out: result, probabilities } = attendTokens(own, seen, projections.headDim, options);
      results.set(result, row * q.width);
      probabilities.forEach((each, segment) => observers[row]?.(segment, each));
    }
    runtime.write(results, out);
  }

  /** The meaning of a coarser form in this layer. */
  #coarser({ format: form }: Segment): KvFormat {
    const { name } = form!;
    const known = this.#coarserFormats.get(name) ?? this.formats.find(({ coarser }) => coarser?.to(form!))!.meaningOf!(form!);
    this.#coarserFormats.set(name, known);
    return known;
  }

  async #decide(read: Rows, rows: number): Promise<Int32Array> {
    const { runtime, router } = this.setting;
    if (!router) return new Int32Array(rows);
    const decided = tf.tidy(() => router.decode(runtime.tensor(read, rows)));
    try {
      return Int32Array.from(await decided.data());
    } finally {
      decided.dispose();
    }
  }
}

async function readBack(format: KvFormat, segment: Segment, pending: Slot | null): Promise<SeenTokens> {
  const { store, pages, tokens, from = 0 } = segment;
  const all = tokens + (pending ? 1 : 0);
  const { heads, headDim } = format.stored;
  const stored = new Float32Array(all * heads * headDim);
  for (let first = 0; first < all; first += TOKENS_PER_PAGE) {
    const { k } = await store.read(pages[first / TOKENS_PER_PAGE]!, Math.min(TOKENS_PER_PAGE, all - first));
    stored.set(k, first * heads * headDim);
  }
  const { k, v } = await decoded(format, stored);
  const width = format.kvHeads * format.headDim;
  const head = (x: Float32Array, token: number, at: number) => x.subarray(token * width + at * format.headDim, token * width + (at + 1) * format.headDim);
  return { tokens: all, from, heads: format.kvHeads, key: (token, at) => head(k, token, at), value: (token, at) => head(v, token, at) };
}

function writeStored({ segment, firstSlot }: StorePlan, stored: Float32Array, tokens: number): void {
  const width = stored.length / tokens;
  for (let done = 0; done < tokens; ) {
    const { page, offset } = slotOf(segment, firstSlot + done);
    const next = Math.min(tokens, done + TOKENS_PER_PAGE - offset);
    segment.store.write(page, offset, stored.subarray(done * width, next * width), new Float32Array(0));
    done = next;
  }
}
