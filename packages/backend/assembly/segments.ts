// The segments of a token's cache as JavaScript writes them (src/inference/wasm/attend.ts): for each, int32 words in a row. Only segments of
// which something is seen are there.

import { at } from './simd';
import { PAGE } from './pages';

/** The first token that is seen, in the first page. */
// @ts-ignore: decorator
@inline
export function startOf(segment: usize): i32 {
  return load<i32>(segment);
}

/** Tokens from the start of the first page on. */
// @ts-ignore: decorator
@inline
export function tokensOf(segment: usize): i32 {
  return load<i32>(segment, 4);
}

/** Of keys and values the query heads for each stored head, of latents their numbers. */
// @ts-ignore: decorator
@inline
export function sizeOf(segment: usize): i32 {
  return load<i32>(segment, 8);
}

/** Whether the pages are of int8 and not of float32. */
// @ts-ignore: decorator
@inline
export function isInt8(segment: usize): bool {
  return load<i32>(segment, 12) != 0;
}

/** Where the addresses of the pages are. */
// @ts-ignore: decorator
@inline
export function pagesOf(segment: usize): usize {
  return segment + 16;
}

// @ts-ignore: decorator
@inline
export function pageCount(segment: usize): i32 {
  return (tokensOf(segment) + PAGE - 1) / PAGE;
}

/** Where the next segment is. */
// @ts-ignore: decorator
@inline
export function segmentAfter(segment: usize): usize {
  return pagesOf(segment) + at(pageCount(segment));
}
