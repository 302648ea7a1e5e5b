// Compiles assembly/ twice, for plain and for relaxed SIMD, into src/wasm/generated.ts.
// The modules are inlined as base64 so that Node, browsers and bundlers need no asset handling.
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const root = fileURLToPath(new URL('..', import.meta.url));

async function compile(...features) {
  const { error, stdout, stderr, binary, text } = await build(features);
  if (error) throw new Error(`build-wasm: ${error.message}\n${stderr.toString()}${stdout.toString()}`);
  // Static data would be written into the heap that the module shares with TensorFlow.js.
  const misplaced = text.split('\n').find((line) => /^\s*\((data|global)\b/.test(line));
  if (misplaced) throw new Error(`build-wasm: the module must hold no static data, found ${misplaced.trim()}`);
  return Buffer.from(binary).toString('base64');
}

async function build(features) {
  const files = {};
  const result = await asc.main(
    [
      'assembly/index.ts', '--outFile', 'out.wasm', '--textFile', 'out.wat',
      '--runtime', 'stub', '--importMemory', '--initialMemory', '0', '--use', 'abort=', '--noAssert',
      '-O3', '--converge', ...features.flatMap((feature) => ['--enable', feature]),
    ],
    {
      writeFile: (name, contents) => {
        files[name] = contents;
      },
      baseDir: root,
    },
  );
  return { ...result, binary: files['out.wasm'], text: String(files['out.wat'] ?? '') };
}

const simd = await compile('simd');
const relaxedSimd = await compile('simd', 'relaxed-simd');
await mkdir(`${root}src/wasm`, { recursive: true });
await writeFile(
  `${root}src/wasm/generated.ts`,
  `// Made by scripts/build-wasm.mjs from assembly/; do not edit.\nexport const simd =\n  '${simd}';\nexport const relaxedSimd =\n  '${relaxedSimd}';\n`,
);
