// What browser.test.ts bundles for a browser, and runs in Node too: the public API of two packages, as a page uses it.
import { startBackend } from '@mixsga/backend';
import { fromPretrained, generate } from '../index';

export interface GreedyRequest {
  /** Addresses of a checkpoint's files. */
  readonly files: readonly string[];
  readonly prompt: readonly number[];
  readonly maxNewTokens: number;
  readonly attention?: string;
  /** Needed in browsers. */
  readonly wasmPaths?: string;
}

/** The likeliest tokens after a prompt, on wasm, and what started. */
export async function continueGreedily({ files, prompt, maxNewTokens, attention, wasmPaths }: GreedyRequest) {
  const { name, detail } = await startBackend('wasm', { wasmPaths });
  const { decoder } = await fromPretrained(files, { attention });
  const tokens: number[] = [];
  for await (const { token } of generate(decoder, [prompt], { maxNewTokens })) tokens.push(token);
  const { path } = decoder;
  decoder.dispose();
  return { backend: `${name}: ${detail}`, path, tokens };
}
