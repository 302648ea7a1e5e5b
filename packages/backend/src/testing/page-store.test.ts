import { describe, expect, it } from 'vitest';
import { storedGroups } from '../formats/grouped/stored';
import { HostPages } from '../inference/host-pages';
import type { PageStore, Slot, TokenMove } from '../inference/pages';
import { describePageStore } from './describe-page-store';
import { pageStoreChecks } from './page-store';

describePageStore('HostPages', async () => (heads, headDim, type) => new HostPages({ heads, headDim, type }));

// The suite has to catch what it is there for: these stores are wrong on purpose.
describe('a wrong store', () => {
  class OffByOne extends HostPages {
    override copy(from: number, to: number, tokens: number): void {
      super.copy(from, to, tokens - 1);
    }
  }
  class KeysOnly extends HostPages {
    override move(from: Slot, to: Slot): void {
      this.token('k', to).set(this.token('k', from));
    }
  }
  class MeanAlways extends HostPages {
    override coarsen(tokens: readonly TokenMove[], target: PageStore): void {
      const { coarser } = storedGroups({ kvHeads: this.heads, headDim: this.headDim, groupSize: 1 });
      super.coarsen(tokens, target, coarser!.to(coarser!.sizes!.form(this.heads / target.heads))!);
    }
  }
  class Forgetful extends HostPages {
    override release(): void {}
  }
  class OneBuffer extends HostPages {
    override get allocatedBytes(): number {
      return Math.min(super.allocatedBytes, this.bytesPerPage);
    }
  }
  class FirstSlot extends HostPages {
    override write(page: number, _first: number, k: Float32Array, v: Float32Array): void {
      super.write(page, 0, k, v);
    }
  }

  it.each([
    [OffByOne, /^1 heads of 4: expected k\[0\] of the copy of 1 tokens to be /],
    [KeysOnly, /^1 heads of 4: expected v\[8\] of one page to be /],
    [MeanAlways, /^2 heads of 4: expected k\[124\] of a page of tokens of 2 heads pooled by root to be /],
    [Forgetful, /^1 heads of 4: expected pages taken again to be 0,3,6, got 9,10,11$/],
    [Forgetful, /^1 heads of 4: expected a BackendError with 'expected a page that is taken, got 0', got none$/],
    [OneBuffer, /^1 heads of 4: expected allocatedBytes with 2 pages to be at least 2048, got 1024$/],
    [FirstSlot, /^1 heads of 4: expected k\[0\] of the first 32 tokens to be /],
  ])('%o is refused: %s', async (Store: new (...args: ConstructorParameters<typeof HostPages>) => PageStore, message) => {
    const messages = await Promise.all(
      pageStoreChecks.map(({ run }) => run((heads, headDim, type) => new Store({ heads, headDim, ...(type && { type }) })).then(() => 'passed', (e: Error) => e.message)),
    );
    expect(messages.filter((m) => message.test(m)).length).toBeGreaterThan(0);
  });
});
