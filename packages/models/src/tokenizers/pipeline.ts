// The steps from a text to ids and back, each made of its part of a tokenizer.json.
import { createAddedTokens } from './added-tokens';
import { createDecoder } from './decoders';
import { createModel, vocabularyOf } from './models';
import { createNormalizer } from './normalizers';
import { createPostProcessor } from './post-processors';
import { createPreTokenizer, unsplit } from './pre-tokenizers';
import { failureIn, parseTokenizerJson } from './schema';
import { inSlices, type MeasuredSteps, STEP } from './steps';

export interface Pipeline {
  /** One above the largest id. */
  readonly size: number;
  encode(text: string, addSpecialTokens: boolean): MeasuredSteps<number[]>;
  /** Ids without a token are left out. */
  decode(ids: readonly number[], skipSpecialTokens: boolean): string;
  tokenId(token: string): number | undefined;
}

/**
 * What Python's tokenizers 0.22 make of a tokenizer.json. Its truncation and padding are not applied, as transformers does not.
 * @param where path of the file, for error messages
 * @throws FileError naming the field that is malformed, or has what is not read here
 */
export function createPipeline(json: unknown, where: string): Pipeline {
  const spec = parseTokenizerJson(json, where);
  const fail = failureIn(where);
  const vocabulary = vocabularyOf(spec.model);
  const model = createModel(spec.model, vocabulary, fail);
  const normalize = spec.normalizer ? createNormalizer(spec.normalizer, 'normalizer', fail) : null;
  const preTokenize = spec.pre_tokenizer ? createPreTokenizer(spec.pre_tokenizer, 'pre_tokenizer', fail) : unsplit;
  const postProcess = spec.post_processor ? createPostProcessor(spec.post_processor, 'post_processor', fail) : null;
  const decode = spec.decoder ? createDecoder(spec.decoder, 'decoder', fail) : null;
  const added = createAddedTokens(spec.added_tokens ?? [], vocabulary, normalize, fail);

  const tokens: string[] = [];
  for (const [token, id] of [...vocabulary.entries(), ...added.ids]) tokens[id] = token;

  return {
    size: tokens.length,
    *encode(given, addSpecialTokens) {
      const text = yield* inSlices(given, (slice) => slice.replace(LONE_SURROGATE, '\ufffd'));
      const ids: number[] = [];
      let [done, counted] = [0, 0];
      for (const section of added.sections(text)) {
        if (!section) yield;
        else if ('id' in section) ids.push(section.id);
        else {
          for (const piece of preTokenize(section)) {
            if (piece) for (const id of yield* model(piece.text)) ids.push(id);
            done += piece ? piece.text.length + 1 : 0;
            if (piece && done - counted < STEP) continue;
            counted = done;
            yield Math.min(1, done / text.length);
          }
        }
      }
      return [...(addSpecialTokens && postProcess ? postProcess(ids) : ids)];
    },
    decode(ids, skipSpecialTokens) {
      const run = ids.flatMap((id) => (skipSpecialTokens && added.special.has(id) ? [] : (tokens[id] ?? [])));
      return decode ? decode(run).join('') : run.join(' ');
    },
    tokenId: (token) => added.ids.get(token) ?? vocabulary.id(token),
  };
}

const LONE_SURROGATE = /\p{Surrogate}/gu;
