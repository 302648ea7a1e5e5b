// The steps from a text to ids and back, each made of its part of a tokenizer.json.
import { createAddedTokens } from './added-tokens';
import { createDecoder } from './decoders';
import { createModel, vocabularyOf } from './models';
import { createNormalizer } from './normalizers';
import { createPostProcessor } from './post-processors';
import { createPreTokenizer, type Piece } from './pre-tokenizers';
import { failureIn, parseTokenizerJson } from './schema';

export interface Pipeline {
  /** One above the largest id. */
  readonly size: number;
  encode(text: string, addSpecialTokens: boolean): number[];
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
  const preTokenize = spec.pre_tokenizer ? createPreTokenizer(spec.pre_tokenizer, 'pre_tokenizer', fail) : (piece: Piece) => [piece];
  const postProcess = spec.post_processor ? createPostProcessor(spec.post_processor, 'post_processor', fail) : null;
  const decode = spec.decoder ? createDecoder(spec.decoder, 'decoder', fail) : null;
  const added = createAddedTokens(spec.added_tokens ?? [], vocabulary, normalize, fail);

  const tokens: string[] = [];
  for (const [token, id] of [...vocabulary.entries(), ...added.ids]) tokens[id] = token;

  return {
    size: tokens.length,
    encode(text, addSpecialTokens) {
      const ids: number[] = [];
      for (const section of added.sections(text)) {
        if ('id' in section) ids.push(section.id);
        else for (const piece of preTokenize(section)) for (const id of model(piece.text)) ids.push(id);
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
