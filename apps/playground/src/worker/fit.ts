// Whether a model fits the device, and how.
import { BackendError, describeBackends } from '@mixsga/backend';
import type { ModelReport } from '@mixsga/models';
import type { BackendChoice } from '../protocol';

type WeightType = ModelReport['fits'][number]['weights'];

/**
 * The most exact type of weights with which a model and a cache of `tokens` tokens fit.
 * @throws BackendError when none does
 */
export function chooseWeights(report: ModelReport, backend: Exclude<BackendChoice, 'auto'>, tokens = 1): WeightType {
  const { name, fits, weightBytes } = report;
  // `cpu` keeps its arrays outside of a heap, and gets no further.
  const kind = backend === 'cpu' ? 'wasm' : backend;
  const usable = fits.filter((fit) => fit.backend === kind);
  const fit = usable.find((each) => each.tokens >= tokens);
  if (fit) return fit.weights;
  const longest = Math.max(0, ...usable.map((each) => each.tokens));
  if (longest > 0) {
    throw new BackendError(`${name} does not fit this device with a cache of ${tokens} tokens, but of ${longest}; ask for fewer tokens`);
  }
  throw new BackendError(
    `${name} does not fit this device on ${backend}: its weights take ${megabytes(weightBytes.int8)} in their smallest form (int8); ` +
      'choose a smaller model or another backend',
  );
}

/** @throws BackendError as {@link chooseWeights}; for `auto` when it fits no backend that this would start */
export async function expectFits(report: ModelReport, backend: BackendChoice): Promise<void> {
  if (backend !== 'auto') return void chooseWeights(report, backend);
  const webgpu = (await describeBackends()).find(({ name }) => name === 'webgpu');
  chooseWeights(report, webgpu?.available && !webgpu.software ? 'webgpu' : 'wasm');
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6).toLocaleString('en')} MB`;
}
