import { SeededRandom } from '@mixsga/backend';
import { parseAttention } from '../attention/index';
import { modelShape } from '../config/shape';
import type { ModelConfig } from '../config/shape';
import { familyOf } from '../families/index';
import { constantValues } from '../attention/layer-constants';

/** Standard deviation of matrices where the configuration names none, as in Hugging Face transformers. */
const DEVIATION = 0.02;

/** Random values for every parameter but those of routers, with the constants of layers that belong to them; parameter i of the family's order draws from stream i of the seed. */
export function randomParameters(config: ModelConfig, seed: number): Map<string, Float32Array> {
  const { init_std: deviation = DEVIATION } = config;
  const values = new Map<string, Float32Array>();
  const variant = parseAttention(modelShape(config).attention);
  const specs = familyOf(config).parameters(config, variant);
  specs.forEach(({ name, shape, start }, stream) => {
    const array = new Float32Array(shape.reduce((a, b) => a * b));
    if (start === 'ones') array.fill(1);
    if (start === 'normal') {
      const random = new SeededRandom(seed, stream);
      for (let i = 0; i < array.length; i++) array[i] = random.normal() * deviation;
    }
    values.set(name, array);
  });
  for (const [name, array] of constantValues(config, values, variant)) values.set(name, array);
  return values;
}
