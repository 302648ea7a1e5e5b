import type { FailedModel, Session } from '../session';
import { OWN_FILES, SHIPPED } from '../state/settings';

/** Why a model could not be opened, and what to do. */
export function ModelFailure({ session, failed: { model, failure } }: { session: Session; failed: FailedModel }) {
  const isOfHub = model !== SHIPPED && model !== OWN_FILES;
  const again = () => void (isOfHub ? session.openHub(model) : session.openShipped());
  return (
    <div class="notice bad" role="alert">
      <p>
        {failure.message}.{session.model.value.status === 'ready' && ' The previous model is still loaded.'}
      </p>
      {isOfHub && <p>Or get its files in another way, and drop them on this page.</p>}
      {model !== OWN_FILES && (
        <button type="button" onClick={again}>
          Try {model} again
        </button>
      )}
    </div>
  );
}
