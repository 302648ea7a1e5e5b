import type { Session } from '../session';
import { formatBytes } from '../state/format';
import { OWN_FILES, SHIPPED } from '../state/settings';

/** What the model is, or how far it is from being one. */
export function ModelStatus({ session }: { session: Session }) {
  const state = session.model.value;
  const { model } = session.settings.value;
  switch (state.status) {
    case 'ready': {
      const { name, family, layers, kvHeads, contextLength, parameters } = state.facts;
      return (
        <p role="status">
          <strong>{name}</strong>: {(parameters / 1e6).toFixed(parameters < 1e7 ? 1 : 0)} million parameters, {family}, {layers} layers of{' '}
          {kvHeads} KV heads, up to {contextLength.toLocaleString('en')} tokens.
        </p>
      );
    }
    case 'loading': {
      const { progress } = state;
      return (
        <div role="status">
          <p>
            {progress ? `${progress.file}: ${formatBytes(progress.bytes)}${progress.total ? ` of ${formatBytes(progress.total)}` : ''}` : `Opening ${model} …`}
            {progress?.secondsLeft != null && `, ${Math.ceil(progress.secondsLeft)} s left`}
          </p>
          <progress aria-label="Download" max={progress?.total || 1} value={progress?.total ? progress.bytes : undefined} />
          <button type="button" onClick={() => session.cancelOpening()}>
            Cancel
          </button>
        </div>
      );
    }
    case 'failed':
      return <p role="status">No model is open. Under Model stands why, and what to do.</p>;
    case 'unasked':
      if (model === OWN_FILES) return <p role="status">This address is of a model of somebody’s own: choose its files under Model.</p>;
      if (model === SHIPPED) {
        return (
          <p role="status">
            No model is open.{' '}
            <button type="button" onClick={() => void session.openShipped()}>
              Open {SHIPPED}
            </button>
          </p>
        );
      }
      return (
        <p role="status">
          This address asks for <strong>{model}</strong>, which is not in this page.{' '}
          <button type="button" onClick={() => void session.openHub(model)}>
            Download it from huggingface.co
          </button>
        </p>
      );
  }
}
