import type { Signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { formatPercent, visible } from '../state/format';
import { toneOf, type Theme } from '../state/palette';
import type { RunView } from '../state/run-view';
import { theme } from './theme';

interface Props {
  readonly id: string;
  readonly run: RunView;
  readonly revision: number;
  readonly chosen: Signal<number | null>;
  readonly hovered: Signal<number | null>;
}

/** Layers from top to bottom, positions from left to right: a bar as high as the share that is kept. */
export function ExpertMap({ id, run, revision, chosen, hovered }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [layer, setLayer] = useState(0);
  const drawn = useRef<{ key: string; known: number }>({ key: '', known: 0 });
  const columns = run.started!.tokensAtMost;
  const cell = cellSize(run.layers, columns, width);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(frame.current!);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (width === 0) return;
    const key = [width, theme.value, run.changes, columns, devicePixelRatio].join();
    const from = drawn.current.key === key && drawn.current.known <= run.known ? drawn.current.known : 0;
    drawColumns(canvas.current!, run, { cell, from, theme: theme.value });
    drawn.current = { key, known: run.known };
  });
  const token = hovered.value ?? chosen.value;
  const at = (event: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    const found = Math.floor((event.clientX - box.left) / cell.width);
    return found >= 0 && found < run.known ? found : null;
  };
  return (
    <div class="map">
      <div
        ref={frame} class="map-frame" role="application" tabIndex={0} aria-roledescription="map of experts"
        aria-label={`${run.layers} layers by ${run.known} tokens. Arrow keys move; the table below says the same.`}
        aria-describedby={`${id}-map-place`}
        onFocus={() => (chosen.value ??= 0)}
        onKeyDown={(event) => {
          const steps: Readonly<Record<string, readonly [number, number]>> = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
          const step = steps[event.key];
          if (!step) return;
          event.preventDefault();
          hovered.value = null;
          chosen.value = clamp((chosen.value ?? 0) + step[0], run.known - 1);
          setLayer(clamp(layer + step[1], run.layers - 1));
        }}
      >
        <div class="map-inner" style={{ width: `${cell.width * columns}px`, height: `${cell.height * run.layers}px` }}>
          <canvas
            ref={canvas} aria-hidden="true"
            onPointerMove={(event) => (hovered.value = event.pointerType === 'touch' ? null : at(event))}
            onPointerLeave={() => (hovered.value = null)}
            onClick={(event) => (chosen.value = at(event as unknown as PointerEvent) ?? chosen.value)}
          />
          <span class="map-prompt" style={{ left: `${cell.width * run.promptLength}px` }} />
          {token !== null && token < run.known && <span class="map-cursor" style={{ left: `${cell.width * token}px`, width: `${cell.width}px` }} />}
        </div>
      </div>
      <div class="map-axis">
        <span>prompt, then text →</span>
        <span>layer 1 on top</span>
      </div>
      <p id={`${id}-map-place`} class="visually-hidden" aria-live="polite">
        {chosen.value !== null && placeText(run, layer, chosen.value)}
      </p>
      <MapTable run={run} revision={revision} />
    </div>
  );
}

function placeText(run: RunView, layer: number, token: number): string {
  return `Layer ${layer + 1}, token ${token + 1}, ${visible(run.tokens[token]?.text ?? '')}: ${run.keptText(layer, token)}`;
}

/** The map in numbers. */
function MapTable({ run }: { run: RunView; revision: number }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="map-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>The same as a table</summary>
      {isOpen && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Shares of the experts by layer">
          <table>
            <thead>
              <tr>
                <th scope="col">Layer</th>
                {run.kept.map(({ text }, expert) => (
                  <th scope="col" key={expert}>
                    {text}
                  </th>
                ))}
                <th scope="col">evicted</th>
              </tr>
            </thead>
            <tbody>
              {Array.from({ length: run.layers }, (_, layer) => {
                const { counts, evicted } = countLayer(run, layer);
                return (
                  <tr key={layer}>
                    <th scope="row">{layer + 1}</th>
                    {counts.map((count, expert) => (
                      <td key={expert}>
                        {count} ({formatPercent(run.known > 0 ? count / run.known : 0)})
                      </td>
                    ))}
                    <td>{evicted}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

/** Tokens of each expert that the cache has in a layer, and those that it has no more. */
function countLayer(run: RunView, layer: number): { counts: number[]; evicted: number } {
  const counts = run.kept.map(() => 0);
  let evicted = 0;
  for (let token = 0; token < run.known; token++) {
    if (run.isEvicted(layer, token)) evicted++;
    else counts[run.expert(layer, token)]!++;
  }
  return { counts, evicted };
}

interface Cell {
  readonly width: number;
  readonly height: number;
}

function cellSize(layers: number, columns: number, width: number): Cell {
  return { width: Math.max(3, Math.min(14, width / columns)), height: layers <= 6 ? 24 : layers <= 14 ? 16 : 10 };
}

function drawColumns(canvas: HTMLCanvasElement, run: RunView, { cell, from, theme }: { cell: Cell; from: number; theme: Theme }): void {
  const columns = run.started!.tokensAtMost;
  const ratio = devicePixelRatio;
  if (from === 0) {
    canvas.width = Math.ceil(cell.width * columns * ratio);
    canvas.height = Math.ceil(cell.height * run.layers * ratio);
    canvas.style.width = `${cell.width * columns}px`;
    canvas.style.height = `${cell.height * run.layers}px`;
  }
  const context = canvas.getContext('2d')!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const gap = cell.width >= 5 ? 1 : 0.5;
  for (let layer = 0; layer < run.layers; layer++) {
    for (let token = from; token < run.known; token++) {
      const share = run.share(layer, token)!;
      const room = cell.height - 3;
      const height = share === 0 ? 1 : Math.max(2, room * share);
      context.fillStyle = toneOf(run, layer, token, theme);
      context.fillRect(token * cell.width, (layer + 1) * cell.height - 1 - height, cell.width - gap, height);
    }
  }
}

function clamp(value: number, most: number): number {
  return Math.min(Math.max(0, most), Math.max(0, value));
}
