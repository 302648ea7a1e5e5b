/**
 * The pre-tokeniser of GPT-2 (Radford et al., 2019): contractions, then runs of letters, numbers or other
 * symbols with at most one leading space, then white space. Every match becomes a word of its own, and byte
 * pairs never merge across words. It has the global flag: use it through `match` and `matchAll` only.
 */
export const GPT2_PATTERN = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/**
 * The character that stands for each byte in a byte-level vocabulary, by byte value: printable Latin-1 bytes
 * stand for themselves, the others for the characters from U+0100 on (GPT-2's `bytes_to_unicode`).
 */
export const BYTE_CHARACTERS: readonly string[] = byteCharacters();

function byteCharacters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
    return String.fromCharCode(printable ? byte : next++);
  });
}
