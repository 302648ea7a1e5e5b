import { expect, test, vi } from 'vitest';
import * as errors from './errors';

const { ArgumentError, BackendError, FileError, MixsgaError } = errors;

test('errors carry their name, message and cause', () => {
  const cause = new Error('low level');
  const error = new FileError('/a/b.json', 'expected an object, got an array', { cause });
  expect(error).toMatchObject({ name: 'FileError', message: '/a/b.json: expected an object, got an array', path: '/a/b.json', cause });
  expect(String(new ArgumentError('no'))).toBe('ArgumentError: no');
});

test('isInstance follows the classes', () => {
  const error = new ArgumentError('no');
  expect([MixsgaError, ArgumentError, FileError, BackendError].map((kind) => kind.isInstance(error))).toEqual([true, true, false, false]);
  const lost = new errors.DeviceLostError('gone');
  expect([MixsgaError, BackendError, errors.DeviceLostError, ArgumentError].map((kind) => kind.isInstance(lost))).toEqual([true, true, true, false]);
  expect(errors.DeviceLostError.isInstance(new BackendError('no'))).toBe(false);
  class Special extends BackendError {}
  expect(BackendError.isInstance(new Special('no'))).toBe(true);
  expect([new Error('no'), null, 'no', {}].some((other) => MixsgaError.isInstance(other))).toBe(false);
});

test('isInstance knows the errors of another copy of the package', async () => {
  vi.resetModules();
  const copy = await import('./errors');
  const foreign = new copy.FileError('/x', 'cut short');
  expect(foreign instanceof FileError).toBe(false);
  expect([FileError.isInstance(foreign), ArgumentError.isInstance(foreign)]).toEqual([true, false]);
});
