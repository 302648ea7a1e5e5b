import { createBpe } from './bpe';
import type { Fail, ModelSpec } from './schema';
import type { Model } from './steps';
import { createUnigram } from './unigram';
import { Vocabulary } from './vocabulary';

export function vocabularyOf(spec: ModelSpec): Vocabulary {
  if (spec.type === 'Unigram') return new Vocabulary(spec.vocab.map(([token], id) => [token, id]));
  return new Vocabulary(Object.entries(spec.vocab));
}

export function createModel(spec: ModelSpec, vocabulary: Vocabulary, fail: Fail): Model {
  switch (spec.type) {
    case 'BPE':
      return createBpe(spec, vocabulary, fail);
    case 'Unigram':
      return createUnigram(spec, vocabulary, fail);
    case 'WordPiece':
      return byWord(wordPiece(spec, vocabulary, fail));
    case 'WordLevel':
      return byWord((word) => [vocabulary.id(word) ?? vocabulary.expect(spec.unk_token, 'model.unk_token', fail)]);
  }
}

/** A model that takes no long pieces: one of more characters than a limit is unknown. */
function byWord(ids: (word: string) => readonly number[]): Model {
   
  return function* (word) {
    return ids(word);
  };
}

/** The longest token that begins a word, then the longest that goes on from there (Wu et al. 2016). */
function wordPiece(spec: ModelSpec & { type: 'WordPiece' }, vocabulary: Vocabulary, fail: Fail): (word: string) => readonly number[] {
  const { continuing_subword_prefix: prefix, max_input_chars_per_word: limit } = spec;
  const longest = Array.from(vocabulary.entries()).reduce((most, [token]) => Math.max(most, token.length), 0);
  const unknown = () => [vocabulary.expect(spec.unk_token, 'model.unk_token', fail)];
  return (word) => {
    const characters = Array.from(word);
    if (characters.length > limit) return unknown();
    const ids: number[] = [];
    for (let begin = 0; begin < characters.length; ) {
      let end = Math.min(characters.length, begin + longest);
      let id: number | undefined;
      for (; end > begin; end--) {
        id = vocabulary.id((begin > 0 ? prefix : '') + characters.slice(begin, end).join(''));
        if (id !== undefined) break;
      }
      if (id === undefined) return unknown();
      ids.push(id);
      begin = end;
    }
    return ids;
  };
}
