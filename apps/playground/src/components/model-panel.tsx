import { useRef, useState } from 'preact/hooks';
import type { Session } from '../session';
import { OWN_FILES, SHIPPED } from '../state/settings';
import { useDroppedFiles } from './dropped-files';
import { ModelFailure } from './model-failure';
import { ModelStatus } from './model-status';
import { WIDE } from './wide';

/** Which model: the shipped one, one of the hub, or files of the user's own. */
export function ModelPanel({ session }: { session: Session }) {
  const { model } = session.settings.value;
  const state = session.model.value;
  // Open where there is room, and where something is to be done or told.
  const isOpen = useRef(matchMedia(WIDE).matches);
  const failed = state.status === 'ready' || state.status === 'failed' ? state.failed : undefined;
  const warnings = state.status === 'ready' ? state.facts.warnings : [];
  if (failed || warnings.length > 0 || (state.status === 'unasked' && model !== SHIPPED)) isOpen.current = true;
  const [id, setId] = useState(model === SHIPPED || model === OWN_FILES ? '' : model);
  const isOver = useDroppedFiles((dropped) => void session.openFiles(dropped));
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const take = (list: FileList | null) => {
    if (list && list.length > 0) void session.openFiles([...list]);
  };
  return (
    <details class={`panel${isOver ? ' over' : ''}`} open={isOpen.current}>
      <summary>
        <h2>
          Model <span class="soft">{state.status === 'ready' ? state.facts.name : model}</span>
        </h2>
      </summary>
      <div class="model">
        {failed && <ModelFailure session={session} failed={failed} />}
        {state.status === 'ready' && <ModelStatus session={session} />}
        {warnings.map((warning) => (
          <p class="notice" role="status" key={warning}>
            {warning}.
          </p>
        ))}
        {model !== SHIPPED && (
          <button type="button" class="wide" onClick={() => void session.openShipped()}>
            Use the shipped {SHIPPED}
          </button>
        )}
        <form
          class="hub"
          onSubmit={(event) => {
            event.preventDefault();
            if (id.trim()) void session.openHub(id.trim());
          }}
        >
          <label for="hub-id">From the Hugging Face hub</label>
          <div class="joined">
            <input
              id="hub-id" type="text" placeholder="HuggingFaceTB/SmolLM2-135M" autocomplete="off" spellcheck={false} value={id}
              aria-describedby="hub-note" onInput={(event) => setId(event.currentTarget.value)}
            />
            <button type="submit">Download</button>
          </div>
          <p id="hub-note" class="hint">
            OPT, Llama, Qwen 3, Gemma or OLMo 2. Asks huggingface.co, and keeps the files in this browser.
          </p>
        </form>
        <p class="drop">
          Or drop a model’s folder or files on this page:{' '}
          <button type="button" class="link" onClick={() => files.current!.click()}>
            choose files
          </button>
          ,{' '}
          <button type="button" class="link" onClick={() => folder.current!.click()}>
            choose a folder
          </button>
          <input ref={files} type="file" multiple hidden aria-label="Files of a model" onChange={(event) => take(event.currentTarget.files)} />
          <input
            ref={(input) => {
              folder.current = input;
              if (input) input.webkitdirectory = true;
            }}
            type="file" hidden aria-label="Folder of a model" onChange={(event) => take(event.currentTarget.files)}
          />
        </p>
      </div>
    </details>
  );
}
