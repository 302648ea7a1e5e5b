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
