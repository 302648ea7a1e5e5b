import type { Fail, PostProcessorSpec } from './schema';

/** Puts ids around those of a text. */
export type PostProcessor = (ids: readonly number[]) => readonly number[];

/** @param field of the tokenizer.json that it is from */
export function createPostProcessor(spec: PostProcessorSpec, field: string, fail: Fail): PostProcessor {
  switch (spec.type) {
    case 'ByteLevel': // offsets alone
      return (ids) => ids;
    case 'BertProcessing':
    case 'RobertaProcessing':
      return (ids) => [spec.cls[1], ...ids, spec.sep[1]];
    case 'Sequence': {
      const all = spec.processors.map((each, i) => createPostProcessor(each, `${field}.processors.${i}`, fail));
      return (ids) => all.reduce((result, process) => process(result), ids);
    }
    case 'TemplateProcessing':
      return template(spec, field, fail);
  }
}

function template(spec: PostProcessorSpec & { type: 'TemplateProcessing' }, field: string, fail: Fail): PostProcessor {
  const pieces = spec.single.map((piece, i) => {
    if ('Sequence' in piece) {
      if (piece.Sequence.id !== 'A') fail(`${field}.single.${i}.Sequence.id`, 'expected A, the one text, got B');
      return null;
    }
    const { id } = piece.SpecialToken;
    if (!Object.hasOwn(spec.special_tokens, id)) fail(`${field}.special_tokens`, `expected the token ${JSON.stringify(id)} of the template, and it is not there`);
    return spec.special_tokens[id]!.ids;
  });
  return (ids) => pieces.flatMap((own) => own ?? ids);
}
