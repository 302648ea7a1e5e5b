// One softmax over all segments that a token sees, whatever is stored in their pages, by one call of a kernel.
import type { WasmHeap } from '../../wasm/kernel';
import { type Segment, TOKENS_PER_PAGE } from '../pages';
import type { AttendOptions, LayerView, Route } from '../runtime';
import type { HeapPages } from './pages';

/** Words before the addresses of a segment's pages, see assembly/segments.ts. */
const SEGMENT_WORDS = 4;

export interface SoftmaxOptions extends Pick<AttendOptions, 'heads' | 'onProbabilities'> {
  /** Numbers of a head's sum of values. */
  readonly width: number;
  /** Floats of working memory, which begins with the state of the softmax. */
  readonly work: number;
}

/** What a kernel takes: addresses, but for `count`. */
interface SoftmaxCall {
  readonly work: number;
  readonly segments: number;
  /** Segments of which something is seen. */
  readonly count: number;
  readonly weights: number;
  /** 0 where no weights are kept. */
  readonly maxima: number;
}

/** What is seen of a segment, with the token that is being computed where it is of this segment. */
interface Span {
  /** Tokens in the pages before the first that is seen. */
  readonly skipped: number;
  /** The first token that is seen, and how many there are, from the start of its page on. */
  readonly start: number;
  readonly tokens: number;
  /** Of these tokens; 0 where nothing is seen. */
  readonly pages: number;
}

/** Attention of one token, as `attend` of the runtime has it. */
export function attendSegments(
  heap: WasmHeap, { segments, slots }: LayerView, route: Route | null, { heads, width, work: workFloats, onProbabilities }: SoftmaxOptions,
  attend: (call: SoftmaxCall) => void,
): void {
  const spans = segments.map((segment, expert) => spanOf(segment, expert === route?.expert));
  const pages = spans.reduce((sum, span) => sum + span.pages, 0);
  const words = segments.length * SEGMENT_WORDS + pages;
  const kept = onProbabilities ? pages : 1;
  const longest = onProbabilities ? Math.max(...spans.map(({ skipped, tokens }) => skipped + tokens)) : 0;
  const work = heap.scratch(workFloats + words + kept * heads * (TOKENS_PER_PAGE + 1) + longest);
  const table = work + 4 * workFloats;
  const weights = table + 4 * words;
  const maxima = weights + 4 * kept * heads * TOKENS_PER_PAGE;

  const to = heap.int32s(table, words);
  let word = 0;
  let count = 0;
  segments.forEach(({ store, pages, tokens: stored }, index) => {
    const span = spans[index]!;
    if (span.pages === 0) return;
    const own = store as HeapPages;
    to[word++] = span.start;
    to[word++] = span.tokens;
    to[word++] = own.sizeFor(heads);
    to[word++] = own.type === 'int8' ? 1 : 0;
    const first = span.skipped / TOKENS_PER_PAGE;
    const end = Math.ceil(stored / TOKENS_PER_PAGE);
    for (let page = first; page < first + span.pages; page++) to[word++] = own.address(page < end ? pages[page]! : slots[index]!.page);
    count++;
  });
  attend({ work, segments: table, count, weights, maxima: onProbabilities ? maxima : 0 });

  if (!onProbabilities) return;
  const probabilities = maxima + 4 * kept * heads;
  let done = 0; // pages
  spans.forEach(({ skipped, tokens, pages }, segment) => {
    const all = heap.floats(probabilities, skipped + tokens);
    all.fill(0);
    if (pages > 0) {
      heap.kernels.attendProbabilities(
        work, heads, width, weights + 4 * done * heads * TOKENS_PER_PAGE, maxima + 4 * done * heads, tokens, probabilities + 4 * skipped,
      );
    }
    done += pages;
    onProbabilities(segment, all);
  });
}

function spanOf({ tokens: stored, from = 0 }: Segment, pending: boolean): Span {
  const skipped = from - (from % TOKENS_PER_PAGE);
  const start = from - skipped;
  const tokens = stored - skipped + (pending ? 1 : 0);
  return { skipped, start, tokens, pages: start < tokens ? Math.ceil(tokens / TOKENS_PER_PAGE) : 0 };
}
