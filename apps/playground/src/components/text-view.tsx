import type { Signal } from '@preact/signals';
import { Component } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { visible } from '../state/format';
import { toneOf, type Theme } from '../state/palette';
import type { RunView } from '../state/run-view';
import { theme } from './theme';

interface Props {
  readonly id: string;
  readonly run: RunView;
  readonly revision: number;
  readonly layer: number | null;
  readonly differs: readonly boolean[] | null;
  readonly chosen: Signal<number | null>;
  readonly hovered: Signal<number | null>;
}

/** Tokens that are drawn anew together. */
const CHUNK = 32;

/** The prompt and the text; a token's mark is filled as far as its keys and values are kept. One stop of the tab key, arrows within. */
export function TextView({ id, run, layer, differs, chosen, hovered }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const { length } = run.tokens;
  const isAtEnd = useRef(true);
  useEffect(() => {
    if (isAtEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [length]);
  useEffect(() => {
    if (chosen.value !== null) document.getElementById(`${id}-token-${chosen.value}`)?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [chosen.value]);
  const tokenAt = (event: Event) => {
    const index = (event.target as HTMLElement).closest<HTMLElement>('[data-token]')?.dataset.token;
    return index === undefined ? null : Number(index);
  };
  const chunks = Array.from({ length: Math.ceil(length / CHUNK) }, (_, i) => i * CHUNK);
  return (
    <div
      ref={box} class="text" role="listbox" tabIndex={0} aria-label="Tokens; arrow keys move, and what is kept of each is shown below"
      aria-activedescendant={chosen.value === null ? undefined : `${id}-token-${chosen.value}`}
      onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => (isAtEnd.current = scrollTop + clientHeight > scrollHeight - 24)}
      onPointerOver={(event) => (hovered.value = event.pointerType === 'touch' ? null : tokenAt(event))}
      onPointerLeave={() => (hovered.value = null)}
      onClick={(event) => (chosen.value = tokenAt(event) ?? chosen.value)}
      onFocus={() => (chosen.value ??= 0)}
      onKeyDown={(event) => {
        const next = moved(event.key, chosen.value ?? 0, length);
        if (next === null) return;
        event.preventDefault();
        hovered.value = null;
        chosen.value = next;
      }}
    >
      {chunks.map((from) => {
        const to = Math.min(length, from + CHUNK);
        const marked = chosen.value !== null && chosen.value >= from && chosen.value < to ? chosen.value : null;
        return (
          <Chunk
            key={from} id={id} run={run} from={from} to={to} known={Math.min(run.known, to)} changes={run.changes} layer={layer} theme={theme.value}
            chosen={marked} differs={differs?.slice(Math.max(0, from - run.promptLength), Math.max(0, to - run.promptLength)).map(Number).join('') ?? ''}
          />
        );
      })}
      {!run.isOver && <span class="caret" aria-hidden="true" />}
    </div>
  );
}

/** @returns where a key leads, or null */
function moved(key: string, from: number, length: number): number | null {
  const steps: Readonly<Record<string, number>> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
  const step = steps[key];
  return step === undefined ? null : Math.min(length - 1, Math.max(0, from + step));
}

interface ChunkProps {
  readonly id: string;
  readonly run: RunView;
  readonly from: number;
  readonly to: number;
  readonly known: number;
  readonly changes: number;
  readonly layer: number | null;
  readonly theme: Theme;
  readonly chosen: number | null;
  /** `0` or `1` for each token after the prompt. */
  readonly differs: string;
}

/** Some tokens, drawn again only when something of them has changed: the run itself changes in place. */
class Chunk extends Component<ChunkProps> {
  override shouldComponentUpdate(next: ChunkProps): boolean {
    return (Object.keys(next) as (keyof ChunkProps)[]).some((key) => next[key] !== this.props[key]);
  }

  override render({ id, run, from, to, layer, theme, chosen, differs }: ChunkProps) {
    const firstNew = Math.max(from, run.promptLength);
    return (
      <>
        {run.tokens.slice(from, to).map(({ text }, i) => {
          const token = from + i;
          const share = run.share(layer, token);
          const classes = ['token'];
          if (token < run.promptLength) classes.push('of-prompt');
          if (token === chosen) classes.push('chosen');
          if (share === 0) classes.push('evicted');
          if (token >= firstNew && differs[token - firstNew] === '1') classes.push('differs');
          return (
            <span
              key={token} id={`${id}-token-${token}`} data-token={token} role="option" aria-selected={token === chosen}
              aria-label={text !== '' && text.trim() === '' ? 'white space' : undefined} class={classes.join(' ')}
              style={share === null ? undefined : { '--fill': `${100 * share}%`, '--tone': toneOf(run, layer, token, theme) }}
            >
              {text === '' ? visible(text) : text}
            </span>
          );
        })}
      </>
    );
  }
}
