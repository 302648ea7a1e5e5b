import { expectOptions, FileError } from '@mixsga/backend';

import type { DataRow } from '../evaluator';

/** A task in words, and what may be answered. */
export interface Instruction {
  readonly instruction: string;
  /** What the instruction is about; '' where there is none. */
  readonly input: string;
  /** Reference responses. */
  readonly responses: readonly string[];
  readonly category?: string;
}

type Task = Pick<Instruction, 'instruction' | 'input'>;

const HEADER = 'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n';
const HEADER_WITH_INPUT =
  'Below is an instruction that describes a task, paired with an input that provides further context. ' +
  'Write a response that appropriately completes the request.\n\n';
const INSTRUCTION = '### Instruction:\n';
const INPUT = '\n\n### Input:\n';
const RESPONSE = '\n\n### Response:\n';

/** The template of MiniLLM (Gu et al., ICLR 2024), which is Alpaca's. An empty input is left out. */
export function formatPrompt({ instruction, input }: Task): string {
  return input === ''
    ? HEADER + INSTRUCTION + instruction + RESPONSE
    : HEADER_WITH_INPUT + INSTRUCTION + instruction + INPUT + input + RESPONSE;
}

/** What each field is called: in Dolly, Alpaca and Self-Instruct; in MiniLLM's files; in Vicuna. The first that a row has counts. */
const NAMES = {
  instruction: ['instruction', 'prompt', 'text', 'question'],
  input: ['input', 'context'],
  response: ['output', 'response'],
};

/**
 * Reads a row of Dolly (`instruction`, `context`, `response`, `category`), Alpaca (`instruction`, `input`, `output`), Self-Instruct
 * (`instruction`, `instances: [{ input, output }]`), Vicuna (`text` or `question`), or MiniLLM's form of these, of Super-Natural
 * and of Unnatural Instructions (`instruction` or `prompt`, `input`, `output`, which may be a list). A `prompt` that is in the template
 * is taken out of it.
 *
 * @param responses whether a row must have a response; default `required`
 * @throws FileError that names the row and the field
 */
export function parseInstruction(row: DataRow, options: { responses?: 'required' | 'optional' } = {}): Instruction {
  expectOptions('parseInstruction', options, { responses: true });
  const { responses = 'required' } = options;
  const fields = withInstance(row, fieldsOf(row, row.value, 'a row'));
  const name = nameIn(fields, NAMES.instruction);
  if (name === undefined) {
    throw new FileError(row.where, `expected an instruction in field ${list(NAMES.instruction)}, got ${list(Object.keys(fields))}`);
  }
  const text = textOf(row, fields, name);
  if (text.trim() === '') throw new FileError(row.where, `${name}: expected an instruction, got an empty text`);
  const given = responsesOf(row, fields);
  if (given.length === 0 && responses === 'required') {
    throw new FileError(row.where, `expected a response in field ${list(NAMES.response)}, got ${list(Object.keys(fields))}`);
  }
  const task = { instruction: text, input: textOf(row, fields, nameIn(fields, NAMES.input)) };
  return {
    ...(name === 'prompt' ? withoutTemplate(task) : task),
    responses: given,
    ...(typeof fields.category === 'string' && { category: fields.category }),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf({ where }: DataRow, value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new FileError(where, `expected ${what} to be an object with fields, got ${kindOf(value)}`);
}

/** Self-Instruct keeps input and output in `instances`. */
function withInstance(row: DataRow, fields: Fields): Fields {
  const { instances, ...rest } = fields;
  if (instances === undefined) return fields;
  if (!Array.isArray(instances) || instances.length !== 1) {
    const got = Array.isArray(instances) ? `${instances.length}` : kindOf(instances);
    throw new FileError(row.where, `instances: expected a list of 1 instance, got ${got}; split the row`);
  }
  return { ...rest, ...fieldsOf(row, instances[0], 'instances[0]') };
}

/** The text of a field that may be missing or null: '' then. */
function textOf({ where }: DataRow, fields: Fields, name: string | undefined): string {
  const value = name === undefined ? '' : (fields[name] ?? '');
  if (typeof value === 'string') return value;
  throw new FileError(where, `${name}: expected a text, got ${kindOf(value)}`);
}

function responsesOf({ where }: DataRow, fields: Fields): string[] {
  const name = nameIn(fields, NAMES.response);
  const value = name === undefined ? [] : fields[name];
  const texts: unknown[] = Array.isArray(value) ? value : [value];
  const bad = texts.find((text) => typeof text !== 'string');
  if (bad === undefined) return texts as string[];
  throw new FileError(where, `${name}: expected a text or a list of texts, got ${Array.isArray(value) ? `a list with ${kindOf(bad)}` : kindOf(bad)}`);
}

/** The task of a prompt in the template; any other task as it is. */
function withoutTemplate(task: Task): Task {
  const prompt = task.instruction;
  const begin = [HEADER, HEADER_WITH_INPUT].map((header) => header + INSTRUCTION).find((text) => prompt.startsWith(text));
  if (begin === undefined || !prompt.endsWith(RESPONSE)) return task;
  const [instruction, ...input] = prompt.slice(begin.length, -RESPONSE.length).split(INPUT);
  return { instruction: instruction!, input: input.join(INPUT) };
}

function nameIn(fields: Fields, names: readonly string[]): string | undefined {
  return names.find((name) => fields[name] !== undefined && fields[name] !== null);
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.map((name) => `'${name}'`).join(', ');
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'a list' : `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`;
}
