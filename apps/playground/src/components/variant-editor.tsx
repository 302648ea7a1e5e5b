import type { Choice, Variant, VariantPlan } from '../protocol';
import type { Session } from '../session';
import { formatPercent } from '../state/format';
import { expertTone } from '../state/palette';
import { isCount, partsOf, specOf } from '../state/spec';
import { theme } from './theme';

interface Props {
  readonly id: string;
  readonly title: string;
  readonly session: Session;
  readonly variant: Variant;
  readonly plan: VariantPlan | { readonly error: string } | undefined;
  readonly onChange: (variant: Variant) => void;
}

/** An attention variant, and an eviction policy or a KV budget: specs from the catalogs of their packages. */
export function VariantEditor({ id, title, session, variant, plan, onChange }: Props) {
  const catalog = session.catalog.value;
  const { attention, eviction, kvBudget } = variant;
  const kind = catalog?.attention.find(({ name }) => name === partsOf(attention).name);
  return (
    <fieldset>
      <legend>{title}</legend>
      <label class="visually-hidden" for={`${id}-kind`}>
        {title}: kind
      </label>
      <KindSelect id={`${id}-kind`} spec={attention} choices={catalog?.attention} onChange={(spec) => onChange({ ...variant, attention: spec })} />
      {kind && <p class="hint">{kind.description}.</p>}
      <AttentionNumbers id={id} kind={kind} spec={attention} plan={plan} onChange={(spec) => onChange({ ...variant, attention: spec })} />
      <label for={`${id}-eviction`}>Tokens evicted</label>
      <KindSelect id={`${id}-eviction`} spec={eviction} choices={catalog?.eviction} onChange={(spec) => onChange({ attention, eviction: spec })} />
      <KeepRatio id={id} spec={eviction} onChange={(spec) => onChange({ ...variant, eviction: spec })} />
      <KvBudget id={id} share={kvBudget} onChange={(share) => onChange({ attention, eviction: 'none', kvBudget: share })} />
      {plan && 'error' in plan && (
        <p class="bad-text" role="alert">
          {plan.error}
        </p>
      )}
    </fieldset>
  );
}

interface KindSelectProps {
  readonly id: string;
  readonly spec: string;
  readonly choices: readonly Choice[] | undefined;
  readonly onChange: (spec: string) => void;
}

function KindSelect({ id, spec, choices, onChange }: KindSelectProps) {
  const { name } = partsOf(spec);
  const names = choices?.map((choice) => choice.name) ?? [];
  return (
    <select id={id} value={name} onChange={(event) => onChange(choices!.find((choice) => choice.name === event.currentTarget.value)!.example)}>
      {!names.includes(name) && <option value={name}>{spec}</option>}
      {names.map((each) => (
        <option key={each} value={each}>
          {each}
        </option>
      ))}
    </select>
  );
}

interface NumbersProps extends Pick<Props, 'id' | 'plan'> {
  readonly kind: Choice | undefined;
  readonly spec: string;
  readonly onChange: (spec: string) => void;
}

/** A count for kinds of one number, a slider for each ratio of mixtures, and what is kept of a token. */
function AttentionNumbers({ id, kind, spec, plan, onChange }: NumbersProps) {
  const parts = partsOf(spec);
  const { numbers } = parts;
  const kept = plan && 'kept' in plan ? plan.kept : [];
  const alone = kept.length === 1 && numbers.length <= 1 && <p class="hint">Keeps {kept[0]!.text}.</p>;
  // Such as gqa:k4v2, or ratios by layer: what has no field here is changed in the address.
  if (numbers.length === 0 || numbers.some(Number.isNaN)) return alone || null;
  const change = (index: number) => (event: { currentTarget: HTMLInputElement }) => {
    const value = event.currentTarget.valueAsNumber;
    if (value >= 0) onChange(specOf({ ...parts, numbers: numbers.map((each, i) => (i === index ? value : each)) }));
  };
  if (numbers.length === 1) {
    return (
      <>
        {kind && isCount(kind.example) && (
          <div class="field inline">
            <label for={`${id}-count`}>In groups of</label>
            <input id={`${id}-count`} type="number" min={1} step={1} value={numbers[0]} onInput={change(0)} />
          </div>
        )}
        {alone}
      </>
    );
  }
  // Until there is a plan of these ratios, experts have numbers.
  const own = kept.length === numbers.length ? kept : [];
  const total = numbers.reduce((sum, each) => sum + each, 0);
  return (
    <div class="ratios">
      {numbers.map((value, i) => (
        <div class="ratio" key={i}>
          <label for={`${id}-ratio-${i}`}>
            <span class="swatch" style={{ '--tone': expertTone(i, numbers.length, theme.value), '--fill': `${100 * (own[i]?.share ?? 0)}%` }} />
            {own[i]?.text ?? `expert ${i + 1}`}
          </label>
          <input id={`${id}-ratio-${i}`} type="range" min={0} max={10} step={1} value={value} onInput={change(i)} />
          <output for={`${id}-ratio-${i}`}>{total > 0 ? formatPercent(value / total) : '–'}</output>
        </div>
      ))}
    </div>
  );
}

/** Only one of it and eviction: a cache that evicts keeps what it has of a token whole. */
function KvBudget({ id, share, onChange }: { id: string; share: number | undefined; onChange: (share: number | undefined) => void }) {
  return (
    <>
      <div class="ratio">
        <label for={`${id}-budget`}>KV budget</label>
        <input
          id={`${id}-budget`} type="range" min={0.05} max={1} step={0.05} value={share ?? 1} aria-describedby={`${id}-budget-hint`}
          onInput={({ currentTarget: { valueAsNumber } }) => onChange(valueAsNumber < 1 ? valueAsNumber : undefined)}
        />
        <output for={`${id}-budget`}>{share === undefined ? 'none' : formatPercent(share)}</output>
      </div>
      <p id={`${id}-budget-hint`} class="hint">
        Of the unmodified cache. When it is full, the least important tokens are compressed further; none is evicted.
      </p>
    </>
  );
}

function KeepRatio({ id, spec, onChange }: { id: string; spec: string; onChange: (spec: string) => void }) {
  const parts = partsOf(spec);
  const [ratio, ...others] = parts.numbers;
  // A limit in bytes is changed in the address.
  if (ratio === undefined || Number.isNaN(ratio)) return null;
  return (
    <div class="ratio">
      <label for={`${id}-keep`}>Kept</label>
      <input
        id={`${id}-keep`} type="range" min={0.1} max={1} step={0.05} value={ratio}
        onInput={(event) => onChange(specOf({ ...parts, numbers: [event.currentTarget.valueAsNumber, ...others] }))}
      />
      <output for={`${id}-keep`}>{formatPercent(ratio)}</output>
    </div>
  );
}
