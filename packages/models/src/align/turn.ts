// What heads may be turned by without a change to the model.
import { type Matrix, polarFactor } from './matrix';

/** A group of orthogonal matrices R [d, d] for which (xR)·(yR) = x·y, and which commute with what is done to x and y in between. */
export interface TurnGroup {
  /** The R with the largest tr(Rᵀ·gram). */
  nearest(gram: Matrix, d: number): Matrix;
  /** How alike heads x and y with gram = xᵀy can be made, however each is turned now: the Frobenius norm of the part of gram that R can match. */
  likeness(gram: Matrix, d: number): number;
}

/** Any rotation or reflection: of values, and of queries and keys without rotary positions. */
export const orthogonal: TurnGroup = {
  nearest: polarFactor,
  likeness: (gram) => Math.sqrt(gram.reduce((sum, value) => sum + value * value, 0)),
};

/** Rotations of each pair (i, i + d/2) by an angle of its own: what commutes with rotary positions. */
export const rotary: TurnGroup = {
  nearest(gram, d) {
    const result = new Float64Array(d * d);
    pairs(gram, d, (i, j, along, across) => {
      const length = Math.sqrt(along ** 2 + across ** 2);
      const [cos, sin] = length > 0 ? [along / length, across / length] : [1, 0];
      result[i * d + i] = cos;
      result[j * d + j] = cos;
      result[i * d + j] = -sin;
      result[j * d + i] = sin;
    });
    return result;
  },
  likeness(gram, d) {
    let squares = 0;
    pairs(gram, d, (_i, _j, along, across) => (squares += (along ** 2 + across ** 2) / 2));
    return Math.sqrt(squares);
  },
};

/** Rotations of each pair by 0 or 180°: what commutes with rotary positions, and with a gain for each element in a norm before them. */
export const pairSigns: TurnGroup = {
  nearest(gram, d) {
    const result = new Float64Array(d * d);
    pairs(gram, d, (i, j, along) => (result[i * d + i] = result[j * d + j] = along < 0 ? -1 : 1));
    return result;
  },
  likeness(gram, d) {
    let squares = 0;
    pairs(gram, d, (_i, _j, along) => (squares += along ** 2 / 2));
    return Math.sqrt(squares);
  },
};

/** What a family can name as its `HeadTraits.keyTurns`. */
export const turnGroups = { orthogonal, rotary, pairSigns } as const;

/** The complex correlation of each pair: tr(Rᵀ·gram) is Σ along·cos + across·sin of its angle. */
function pairs(gram: Matrix, d: number, visit: (i: number, j: number, along: number, across: number) => void): void {
  for (let i = 0; i < d / 2; i++) {
    const j = i + d / 2;
    visit(i, j, gram[i * d + i]! + gram[j * d + j]!, gram[j * d + i]! - gram[i * d + j]!);
  }
}
