export { expectFields } from './fields';
export type { FieldTypes } from './fields';
export { Registry } from './registry';
export type { RegistryOptions } from './registry';
