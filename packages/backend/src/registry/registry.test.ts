import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../errors';
import { Registry } from './registry';

interface Lamp {
  readonly color: 'red' | 'green';
  readonly watts: number;
  readonly dims?: boolean;
  readonly plug: { readonly pins: readonly number[]; readonly earth: string | null };
  light(): void;
}

const red: Lamp = { color: 'red', watts: 3, plug: { pins: [1, 2], earth: null }, light: () => undefined };
const lamps = () => new Registry<Lamp>({ red }, {
  register: 'registerLamp',
  fields: { color: ['red', 'green'], watts: 'number', 'dims?': 'boolean', plug: { pins: 'list', 'earth?': 'string' }, light: 'function' },
});

it('knows a kind of its catalog, and what is added, once or again', () => {
  const registry = lamps();
  const green: Lamp = { ...red, color: 'green', dims: false, plug: { pins: [], earth: 'clip' } };
  registry.add('green-2', green);
  registry.add('green-2', green);
  expect(registry.names()).toEqual(['red', 'green-2']);
  expect(registry.get('green-2')).toBe(green);
  expect(registry.get('toString')).toBeUndefined();
});

describe('refuses', () => {
  it.each<[string, string, unknown]>([
    ['registerLamp: expected a name of letters, digits and hyphens, got "Red"', 'Red', red],
    ['registerLamp: expected a name of letters, digits and hyphens, got nothing', undefined as unknown as string, red],
    ['registerLamp: expected a name that is free, got red', 'red', { ...red }],
    ['registerLamp: x: expected an object, got 3', 'x', 3],
    ['registerLamp: x: expected an object, got a function', 'x', () => red],
    ['registerLamp: x: expected an object, got null', 'x', null],
    ['registerLamp: x: expected color to be one of red, green, got "blue"', 'x', { ...red, color: 'blue' }],
    ['registerLamp: x: expected watts to be a number, got "3"', 'x', { ...red, watts: '3' }],
    ['registerLamp: x: expected watts to be a number, got NaN', 'x', { ...red, watts: NaN }],
    ['registerLamp: x: expected dims to be a boolean, got 1', 'x', { ...red, dims: 1 }],
    ['registerLamp: x: expected plug to be an object, got nothing', 'x', { ...red, plug: undefined }],
    ['registerLamp: x: expected plug.pins to be a list, got {}', 'x', { ...red, plug: { pins: {} } }],
    ['registerLamp: x: expected plug.earth to be a string, got 0', 'x', { ...red, plug: { pins: [], earth: 0 } }],
    ['registerLamp: x: expected light to be a function, got nothing', 'x', { ...red, light: undefined }],
  ])('%s', (message, name, kind) => {
    const registry = lamps();
    expect(() => registry.add(name, kind as Lamp)).toThrow(new ArgumentError(message));
    expect(registry.names()).toEqual(['red']);
  });

  it('what a further check refuses', () => {
    const registry = lamps();
    expect(() => registry.add('x', { ...red }, (who) => { throw new ArgumentError(`${who}: too bright`); })).toThrow('registerLamp: x: too bright');
    expect(registry.names()).toEqual(['red']);
  });

  it('an object where a kind is a function, and properties of another type', () => {
    type Maker = { (): void; readonly label?: string };
    const registry = new Registry<Maker>({}, { register: 'registerMaker', isFunction: true, fields: { 'label?': 'string' } });
    registry.add('plain', () => undefined);
    expect(() => registry.add('x', {} as unknown as Maker)).toThrow('registerMaker: x: expected a function, got {}');
    expect(() => registry.add('x', Object.assign(() => undefined, { label: 3 }) as unknown as Maker)).toThrow('registerMaker: x: expected label to be a string, got 3');
  });
});

it('suggests what is near, and else that there may be a plugin', () => {
  expect(lamps().hint('read')).toBe('did you mean red?');
  expect(lamps().hint('lamb', ['lamp'])).toBe('did you mean lamp?');
  expect(lamps().hint('neon')).toBe('a plugin may register it (--plugin, registerLamp)');
  expect(lamps().hint('')).toBe('a plugin may register it (--plugin, registerLamp)');
});
