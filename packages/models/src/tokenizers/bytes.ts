/** A character for each byte, those that are printed as themselves, as GPT-2 writes its tokens. */
const printed = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

const BYTES = Array.from({ length: 256 }, (_, byte) => byte);
const others = BYTES.filter((byte) => !printed(byte));
const CHARACTERS = BYTES.map((byte) => String.fromCharCode(printed(byte) ? byte : 256 + others.indexOf(byte)));
const VALUES = new Map(CHARACTERS.map((character, byte) => [character, byte]));

const encoder = new TextEncoder();

/** The UTF-8 bytes of a text, a character each. */
export function byteCharacters(text: string): string {
  let result = '';
  for (const byte of encoder.encode(text)) result += CHARACTERS[byte]!;
  return result;
}

/** The bytes of such characters; those of the text itself where one of them stands for no byte. */
export function bytesOf(token: string): ArrayLike<number> {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = VALUES.get(character);
    if (byte === undefined) return encoder.encode(token);
    bytes.push(byte);
  }
  return bytes;
}

/** The token of a byte where a vocabulary falls back to bytes: `<0x0A>`. */
function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

/** The byte of such a token, or undefined. */
export function byteOfToken(token: string): number | undefined {
  const hex = /^<0x([0-9a-fA-F]{2})>$/.exec(token)?.[1];
  return hex === undefined ? undefined : parseInt(hex, 16);
}

/** The UTF-8 bytes of a text as such tokens. */
export function byteTokens(text: string): string[] {
  return Array.from(encoder.encode(text), byteToken);
}
