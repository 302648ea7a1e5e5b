import type { Session } from '../session';
import { formatBytes, formatPercent } from '../state/format';
import { ModelStatus } from './model-status';

/** The prompt, the button, and what a run will take. */
export function Composer({ session }: { session: Session }) {
  const { settings, isRunning, canRun } = session;
  const toggle = (event: Event) => {
    event.preventDefault();
    if (isRunning.value) session.stop();
    else void session.run();
  };
  return (
    <form class="composer" onSubmit={toggle}>
      <label for="prompt">Prompt</label>
      <textarea
        id="prompt" rows={2} spellcheck={false} value={settings.value.prompt}
        onInput={(event) => session.set({ prompt: event.currentTarget.value })}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) toggle(event);
        }}
      />
      <div class="composer-row">
        <button type="submit" class="primary" disabled={!isRunning.value && !canRun.value}>
          {isRunning.value ? 'Stop' : 'Generate'}
        </button>
        {session.model.value.status === 'ready' ? (
          <Forecast session={session} />
        ) : (
          <div class="forecast">
            <ModelStatus session={session} />
          </div>
        )}
      </div>
    </form>
  );
}

function Forecast({ session }: { session: Session }) {
  const plan = session.plan.value;
  if (!plan) return <p class="forecast" />;
  const { promptTokens, tokens, mha, variants } = plan;
  return (
    <div class="forecast">
      <p>
        {promptTokens} prompt tokens and up to {tokens - promptTokens + 1} new ones. In the KV cache at the end, of {formatBytes(mha)} with
        MHA:
      </p>
      <ul>
        {variants.map((variant, i) => (
          <li key={i}>
            <code>{session.settings.value.variants[i]?.attention}</code>{' '}
            {'error' in variant ? (
              <span class="bad-text">{variant.error}</span>
            ) : (
              <>
                <strong>{formatBytes(variant.bytes)}</strong>, {formatPercent(variant.bytes / mha)}
                {variant.tokensKept < tokens && `, ${variant.tokensKept} tokens kept`}
              </>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}
