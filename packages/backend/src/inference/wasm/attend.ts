// One softmax over all segments that a token sees, whatever is stored in their pages.
import type { WasmHeap } from '../../wasm/register';
import { type PageStore, TOKENS_PER_PAGE } from '../pages';
import type { AttendOptions, LayerView, Route } from '../runtime';
import type { WasmLatents, WasmPages } from './pages';

export interface SoftmaxOptions extends Pick<AttendOptions, 'heads' | 'onProbabilities'> {
  /** Numbers of a head's sum of values. */
  readonly width: number;
  /** Floats of working memory for {@link SoftmaxSteps}. */
  readonly work: number;
}

/** A segment, without the pages that are hidden altogether, and addresses of what the softmax works on. */
interface VisibleSegment {
  readonly store: PageStore;
  /** Addresses of the pages. */
  readonly table: number;
  /** The first token that is seen, in the first page, and how many there are from the start of that. */
  readonly start: number;
  readonly tokens: number;
  readonly state: number;
  readonly weights: number;
  readonly maxima: number;
}

/** What differs from kind to kind; `work` is the address of the working memory. */
export interface SoftmaxSteps {
  begin(work: number): void;
  add(segment: VisibleSegment, work: number): void;
  end(state: number, work: number): void;
}

/** Attention of one token, as `attend` of the runtime has it. */
export function attendSegments(
  heap: WasmHeap, view: LayerView, route: Route | null, { heads, width, work: workFloats, onProbabilities }: SoftmaxOptions, steps: SoftmaxSteps,
): void {
  const { kernels } = heap;
  const parts = view.segments.map(({ store, pages, tokens, from = 0 }, expert) => {
    const hidden = Math.floor(from / TOKENS_PER_PAGE);
    const own = store as WasmPages | WasmLatents;
    const addresses = own.addresses(pages, hidden, Math.ceil(tokens / TOKENS_PER_PAGE));
    const pending = expert === route?.expert;
    if (pending && tokens % TOKENS_PER_PAGE === 0) addresses.push(own.address(view.slots[expert]!.page));
    const skipped = hidden * TOKENS_PER_PAGE;
    return { store, addresses, skipped, start: from - skipped, tokens: tokens - skipped + (pending ? 1 : 0) };
  });
  const pages = parts.reduce((sum, { addresses }) => sum + addresses.length, 0);
  const longest = onProbabilities ? Math.max(...parts.map(({ skipped, tokens }) => skipped + tokens)) : 0;
  const kept = onProbabilities ? pages : 1;
  const stateFloats = kernels.attendState(heads, width);
  const state = heap.scratch(stateFloats + workFloats + kept * heads * (TOKENS_PER_PAGE + 1) + pages + longest);
  const work = state + 4 * stateFloats;
  const weights = work + 4 * workFloats;
  const maxima = weights + 4 * kept * heads * TOKENS_PER_PAGE;
  const table = maxima + 4 * kept * heads;
  steps.begin(work);
  kernels.attendBegin(state, heads, width);
  let done = 0; // pages
  const at = () => ({
    table: table + 4 * done,
    weights: weights + (onProbabilities ? 4 * done * heads * TOKENS_PER_PAGE : 0),
    maxima: maxima + (onProbabilities ? 4 * done * heads : 0),
  });
  for (const { store, addresses, start, tokens } of parts) {
    if (start >= tokens) continue;
    heap.writeInt32(table + 4 * done, addresses);
    steps.add({ store, start, tokens, state, ...at() }, work);
    done += addresses.length;
  }
  steps.end(state, work);
  if (!onProbabilities) return;
  done = 0;
  const probabilities = table + 4 * pages;
  parts.forEach(({ addresses, skipped, start, tokens }, segment) => {
    const { weights, maxima } = at();
    const all = heap.floats(probabilities, skipped + tokens);
    if (start >= tokens) {
      all.fill(0);
    } else {
      all.fill(0, 0, skipped);
      kernels.attendProbabilities(state, heads, width, weights, maxima, tokens, probabilities + 4 * skipped);
      done += addresses.length;
    }
    onProbabilities(segment, all);
  });
}
