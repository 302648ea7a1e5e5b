import type { PageStore } from '../../inference/pages';
import type { LatentKernels, LatentWeights, PageFormat, Route } from '../../inference/runtime';
import type { LayerSetting, StepQueries, StepRows } from '../layer-attention';
import { MeaningAttention } from '../meaning/layer';

/** Latents of one basis, by kernels that make no keys or values of them. Prompts go through their meaning. */
export class LatentAttention extends MeaningAttention {
  override readonly path = 'fused';
  override readonly projects: boolean;

  constructor(
    setting: LayerSetting,
    private readonly kernels: LatentKernels,
    private readonly weights: LatentWeights,
  ) {
    super(setting);
    this.projects = setting.readsLost;
  }

  override pages(format: PageFormat): PageStore {
    return this.setting.runtime.pages(format);
  }

  override async store({ x, rows, projected, views }: StepRows): Promise<readonly Route[]> {
    const { runtime, projections, router, readsLost } = this.setting;
    if (readsLost) runtime.project(projections, x, projected!.k, projected!.v, rows);
    const read = readsLost ? await this.routerInput(x, rows, projected!) : x;
    return views.map((view, row) => {
      const route = runtime.route(router, read, row);
      this.kernels.store(this.weights, x, row, route, view);
      return route;
    });
  }

  override async attend({ q, out, views, routes, observers, heads, scale }: StepQueries): Promise<void> {
    views.forEach((view, row) => {
      const onProbabilities = observers[row];
      this.kernels.attend(this.weights, q, row, view, routes[row]!, out, { heads, scale, ...(onProbabilities && { onProbabilities }) });
    });
  }
}
