import { MixsgaError } from '../../errors';
import { kvTypes } from '../../inference/kv-type';
import type { InferenceRuntime } from '../../inference/runtime';
import { Setting } from './setting';

export interface RuntimeCheck {
  readonly name: string;
  /**
   * @param runtime of the active backend
   * @param options `quick`: a few cases of each kind, for slow devices
   */
  run(runtime: InferenceRuntime, options?: { quick?: boolean }): Promise<void>;
}

export function check(name: string, run: (setting: Setting) => Promise<void>): RuntimeCheck {
  return {
    name,
    async run(runtime, { quick = false } = {}) {
      const setting = new Setting(runtime, quick);
      try {
        await run(setting);
      } finally {
        setting.dispose();
      }
    },
  };
}

/** A check of what is stored, with pages of each element type. */
export function storageCheck(name: string, run: (setting: Setting) => Promise<void>): RuntimeCheck {
  return {
    name,
    async run(runtime, { quick = false } = {}) {
      for (const type of kvTypes) {
        const setting = new Setting(runtime, quick, type);
        try {
          await run(setting);
        } catch (error) {
          throw new MixsgaError(`${type} pages: ${(error as Error).message}`, { cause: error });
        } finally {
          setting.dispose();
        }
      }
    },
  };
}
