/** Where settings stand beside the text. */
export const WIDE = '(min-width: 60rem)';
