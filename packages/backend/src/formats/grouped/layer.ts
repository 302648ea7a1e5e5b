import type { PageStore } from '../../inference/pages';
import type { Grouping, PageFormat, Route, Rows } from '../../inference/runtime';
import type { KvFormat } from '../format';
import type { KvRows, LayerAttention, LayerSetting, Projected, StepQueries, StepRows, ThroughOptions } from '../layer-attention';
import { projectRows } from '../project';

/** Groups of heads, by the kernels of every runtime. */
export class GroupedAttention implements LayerAttention {
  readonly formats: readonly KvFormat[];
  readonly path: LayerAttention['path'];
  readonly projects: boolean;
  readonly isExact: boolean;

  constructor(
    private readonly setting: LayerSetting,
    private readonly grouping: Grouping,
  ) {
    const { runtime, formats, readsLost, normKeys, type } = setting;
    this.formats = formats;
    this.path = runtime.path;
    this.projects = readsLost || normKeys !== undefined;
    this.isExact = grouping.groupSizes[0] === 1 && type === 'f32';
  }

  pages(format: PageFormat): PageStore {
    return this.setting.runtime.pages(format);
  }

  project(x: Rows, rows: number, to: KvRows, angles: Rows | null): void {
    projectRows(this.setting, x, rows, to, angles);
  }

  routerInput(x: Rows, rows: number, { k, v, lost }: Projected): Rows {
    const { runtime, readsLost } = this.setting;
    if (!readsLost) return x;
    runtime.grouped.distortions(this.grouping, k, v, lost!, rows);
    return lost!;
  }

  through({ k, v }: KvRows, rows: number, { assigned, plans, change }: ThroughOptions): void {
    const { runtime, type } = this.setting;
    if (assigned) runtime.grouped.group(this.grouping, k, v, assigned);
    change?.({ k, v });
    // As steps see them: what the cache gives back.
    if (type === 'int8') for (const x of [k, v]) runtime.roundToInt8(x, rows, this.grouping.headDim);
    if (plans) runtime.grouped.storeRows(k, v, plans);
  }

  store({ x, rows, projected, angles, views }: StepRows): readonly Route[] {
    const { runtime, projections, router, normKeys, readsLost } = this.setting;
    if (normKeys) this.project(x, rows, projected!, angles);
    // Whether keys are turned makes no difference to what is lost, as all heads of a token turn alike.
    else if (readsLost) runtime.project(projections, x, projected!.k, projected!.v, rows);
    const read = readsLost ? this.routerInput(x, rows, projected!) : x;
    return views.map((view, row) => {
      const route = runtime.route(router, read, row);
      if (normKeys) runtime.grouped.storeProjected(this.grouping, projected!.k, projected!.v, row, route, view);
      else runtime.grouped.store(projections, x, row, route, view, angles ?? undefined);
      return route;
    });
  }

  attend({ q, out, views, routes, observers, heads, scale, softCap }: StepQueries): void {
    const { runtime } = this.setting;
    views.forEach((view, row) => {
      const onProbabilities = observers[row];
      runtime.grouped.attend(q, row, view, routes[row]!, out, {
        heads, scale, ...(softCap !== undefined && { softCap }), ...(onProbabilities && { onProbabilities }),
      });
    });
  }
}
