import { useState } from 'preact/hooks';
import { backendChoices, type BackendChoice, type BackendFacts } from '../protocol';
import type { Session } from '../session';
import { readNumber, type NumberSetting } from '../state/settings';
import { VariantEditor } from './variant-editor';
import { WIDE } from './wide';

const backendNames: Readonly<Record<BackendChoice, string>> = {
  auto: 'Automatic', webgpu: 'WebGPU', wasm: 'WebAssembly', cpu: 'Plain JavaScript',
};

export function SettingsPanel({ session }: { session: Session }) {
  const { variants } = session.settings.value;
  const replace = (index: number) => (variant: (typeof variants)[number]) =>
    session.set({ variants: variants.map((each, i) => (i === index ? variant : each)) });
  return (
    <details class="panel" open={matchMedia(WIDE).matches}>
      <summary>
        <h2>Settings</h2>
      </summary>
      {variants.map((variant, i) => (
        <VariantEditor
          key={i} id={`variant-${i}`} session={session} variant={variant} plan={session.plan.value?.variants[i]}
          title={variants.length === 1 ? 'Attention' : `Attention, ${i === 0 ? 'left' : 'right'}`} onChange={replace(i)}
        />
      ))}
      {variants.length === 1 ? (
        <button type="button" class="wide" onClick={() => session.set({ variants: [...variants, { attention: 'mha', eviction: 'none' }] })}>
          Compare with another
        </button>
      ) : (
        <button type="button" class="wide" onClick={() => session.set({ variants: variants.slice(0, 1) })}>
          Stop comparing
        </button>
      )}
      <fieldset>
        <legend>Sampling</legend>
        <div class="fields">
          <NumberField session={session} setting="temperature" label="Temperature" step={0.1} hint="0: always the likeliest" />
          <NumberField session={session} setting="topP" label="Top-p" step={0.05} />
          <NumberField session={session} setting="topK" label="Top-k" step={1} hint="0: all" />
          <NumberField session={session} setting="seed" label="Seed" step={1} />
          <NumberField session={session} setting="maxNewTokens" label="New tokens" step={1} />
          <NumberField session={session} setting="pace" label="Pace, tokens/s" step={5} hint="0: full speed" />
        </div>
      </fieldset>
      <BackendField session={session} />
    </details>
  );
}

function BackendField({ session }: { session: Session }) {
  const { backend } = session.settings.value;
  const facts = new Map(session.catalog.value?.backends.map((each) => [each.name, each]));
  return (
    <fieldset>
      <legend>Backend</legend>
      <label class="visually-hidden" for="backend">
        Backend
      </label>
      <select id="backend" value={backend} aria-describedby="backend-note" onChange={(event) => session.setBackend(event.currentTarget.value as BackendChoice)}>
        {backendChoices.map((name) => (
          <option key={name} value={name}>
            {backendNames[name]}
            {facts.get(name)?.available === false ? ' (not here)' : ''}
          </option>
        ))}
      </select>
      <p id="backend-note" class="hint">
        {noteOn(backend, facts)}
      </p>
    </fieldset>
  );
}

function noteOn(backend: BackendChoice, facts: ReadonlyMap<string, BackendFacts>): string {
  const webgpu = facts.get('webgpu');
  if (backend === 'auto') {
    if (!webgpu) return 'WebGPU where there is a graphics device, else WebAssembly.';
    if (!webgpu.available) return `WebAssembly, since ${webgpu.detail}.`;
    return webgpu.software ? `WebAssembly, since the processor stands in for a graphics device (${webgpu.detail}).` : `WebGPU: ${webgpu.detail}.`;
  }
  const own = facts.get(backend);
  if (own && !own.available) return `Does not start here: ${own.detail}. Choose another.`;
  return `${own?.detail ?? ''}${own?.software ? ', for which the processor stands in' : ''}`;
}

interface NumberFieldProps {
  readonly session: Session;
  readonly setting: NumberSetting;
  readonly label: string;
  readonly step: number;
  readonly hint?: string;
}

function NumberField({ session, setting, label, step, hint }: NumberFieldProps) {
  const value = session.settings.value[setting];
  /** What is typed, while it is not a number that can be. */
  const [draft, setDraft] = useState<string | null>(null);
  const id = `field-${setting}`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id} type="number" inputMode="decimal" step={step} min={0} value={draft ?? value}
        aria-invalid={draft !== null} aria-describedby={hint ? `${id}-hint` : undefined}
        onInput={(event) => {
          const text = event.currentTarget.value;
          const read = readNumber(setting, text);
          setDraft(read === null ? text : null);
          if (read !== null) session.set({ [setting]: read });
        }}
        onBlur={() => setDraft(null)}
      />
      {hint && (
        <span id={`${id}-hint`} class="hint">
          {hint}
        </span>
      )}
    </div>
  );
}
