import { createReadStream, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const here = dirname(fileURLToPath(import.meta.url));
const zoo = join(here, '../../packages/models/zoo/sotu-mini');
const tfjsWasm = join(dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist');

/** Files that the worker asks for by name, by their path in the app's folder. */
const files: Readonly<Record<string, string>> = {
  ...Object.fromEntries(['config.json', 'tokenizer.json', 'model.safetensors'].map((name) => [`models/sotu-mini/${name}`, join(zoo, name)])),
  // Of the three builds the one that runs: with SIMD, which the kernels of @mixsga/backend need too, and without threads.
  'wasm/tfjs-backend-wasm-simd.wasm': join(tfjsWasm, 'tfjs-backend-wasm-simd.wasm'),
};

function servedFiles(): Plugin {
  return {
    name: 'served-files',
    configureServer({ middlewares }) {
      middlewares.use((request, response, next) => {
        const file = files[request.url?.slice(1).split('?')[0] ?? ''];
        if (!file) return next();
        if (file.endsWith('.wasm')) response.setHeader('content-type', 'application/wasm');
        createReadStream(file).pipe(response);
      });
    },
    generateBundle() {
      for (const [fileName, file] of Object.entries(files)) this.emitFile({ type: 'asset', fileName, source: readFileSync(file) });
    },
  };
}

/**
 * The hub answers large files by a redirect to one of its stores. `blob:` is for the worker, which is made from one so that it has
 * this policy too (src/client.ts), and for the pictures of an export.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self' https://huggingface.co https://*.huggingface.co https://*.hf.co",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

/** In the build only: Vite's own client for development would break it. */
function contentSecurityPolicy(): Plugin {
  return {
    name: 'content-security-policy',
    apply: 'build',
    transformIndexHtml: () => [
      { tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: policy }, injectTo: 'head-prepend' },
      { tag: 'meta', attrs: { name: 'referrer', content: 'no-referrer' }, injectTo: 'head-prepend' },
    ],
  };
}

export default defineConfig({
  root: here,
  // Works from any folder of any server.
  base: './',
  // Sibling packages are taken from their sources, so that there is no build between.
  resolve: { conditions: ['mixsga-source', 'module', 'browser', 'development|production'] },
  plugins: [servedFiles(), contentSecurityPolicy()],
  // Packages import modules of Node where they run there.
  worker: { format: 'es', rolldownOptions: { external: /^node:/ } },
  build: { target: 'es2022', modulePreload: { polyfill: false }, chunkSizeWarningLimit: 2000, assetsInlineLimit: 0 },
});
