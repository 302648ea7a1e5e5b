import { pictures, type PictureName } from '../pictures/pictures';
import { saveFile, toPng } from '../pictures/save';
import type { Session } from '../session';
import { exportRuns } from '../state/export';

const names: Readonly<Record<PictureName, string>> = { text: 'Text', map: 'Map', meter: 'Meter' };

/** The runs as JSON, and each view of each as SVG or PNG. */
export function ExportMenu({ session, layer }: { session: Session; revision: number; layer: number | null }) {
  const runs = session.runs.value.filter(({ cache }) => cache);
  if (runs.length === 0 || session.isRunning.value) return null;
  const save = async (name: PictureName, index: number, type: 'svg' | 'png') => {
    const svg = pictures[name](runs[index]!, layer);
    const content = type === 'svg' ? new Blob([svg], { type: 'image/svg+xml' }) : await toPng(svg);
    saveFile(`mixsga-${name}${runs.length > 1 ? `-${index + 1}` : ''}.${type}`, content);
  };
  return (
    <details class="menu">
      <summary>Export</summary>
      <div class="menu-body">
        <button type="button" onClick={() => saveFile('mixsga-run.json', new Blob([exportRuns(runs)], { type: 'application/json' }))}>
          Everything as JSON
        </button>
        {runs.map((run, i) => (
          <div key={i}>
            {runs.length > 1 && <p>{run.variant.attention}</p>}
            {(Object.keys(names) as PictureName[]).map((name) => (
              <p key={name} class="menu-row">
                <span>{names[name]}</span>
                {(['svg', 'png'] as const).map((type) => (
                  <button key={type} type="button" aria-label={`${names[name]} of run ${i + 1} as ${type.toUpperCase()}`} onClick={() => void save(name, i, type)}>
                    {type.toUpperCase()}
                  </button>
                ))}
              </p>
            ))}
          </div>
        ))}
      </div>
    </details>
  );
}
