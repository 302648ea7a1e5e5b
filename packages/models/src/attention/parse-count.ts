/** A whole number above 0 in plain digits, or null. */
export function parseCount(text: string | null): number | null {
  return text !== null && /^[1-9]\d{0,5}$/.test(text) ? Number(text) : null;
}
