import { BackendError } from '@mixsga/backend';

/**
 * A log-likelihood, or a sum of them.
 * @param where what it is of: the row of a data set, or the window of a text
 * @throws BackendError that names `where` when it is NaN or infinite, of which no metric can be made
 */
export function finite(who: string, value: number, where: string): number {
  if (Number.isFinite(value)) return value;
  throw new BackendError(`${who}: expected a finite log-likelihood from the model, got ${value} for ${where}; check the weights of the model`);
}
