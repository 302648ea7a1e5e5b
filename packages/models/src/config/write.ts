// config.json as text.

/**
 * Keys whose values are floats in Hugging Face transformers. Python tells 30 from 30.0, and transformers 5 refuses the first where it
 * expects a float; JavaScript cannot tell them apart. `query_pre_attn_scalar` is an integer there.
 */
const FLOATS = [
  ...['rope_theta', 'rope_local_base_freq', 'factor', 'low_freq_factor', 'high_freq_factor', 'rms_norm_eps', 'init_std'],
  ...['attn_logit_softcapping', 'final_logit_softcapping'],
];
/** A line of indented JSON with one of these keys and a whole number; no string has a line break in it. */
const WHOLE = new RegExp(`^( *"(?:${FLOATS.join('|')})": -?\\d+)(?=,?$)`, 'gm');

/** The text of a config.json, in which floats are written as floats. */
export function configText(config: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify(config, null, 2)}\n`.replace(WHOLE, '$1.0');
}
