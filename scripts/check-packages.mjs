// Packs the libraries as a release would and looks at the tarballs from outside: publint, the declared types, and a
// program per library (consumers/<name>.mjs) that runs with nothing installed but that library and what it depends on.
// Expects a build.
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pnpm, root, run } from './workspace.mjs';

const manifests = readdirSync(path.join(root, 'packages')).map((name) =>
  JSON.parse(readFileSync(path.join(root, 'packages', name, 'package.json'), 'utf8')),
);
const folder = mkdtempSync(path.join(os.tmpdir(), 'mixsga-packages-'));
const tarball = ({ name, version }) => path.join(folder, `${name.slice(1).replace('/', '-')}-${version}.tgz`);

/** The library and every workspace package that it needs. */
function closure(manifest) {
  const siblings = manifests.filter(({ name }) => manifest.dependencies?.[name] !== undefined);
  return [...new Set([manifest, ...siblings.flatMap(closure)])];
}

function consume(manifest) {
  const consumer = path.join(folder, manifest.name);
  mkdirSync(consumer, { recursive: true });
  const dependencies = Object.fromEntries(closure(manifest).map((m) => [m.name, `file:${tarball(m)}`]));
  writeFileSync(path.join(consumer, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }));
  copyFileSync(path.join(root, `scripts/consumers/${path.basename(manifest.name)}.mjs`), path.join(consumer, 'main.mjs'));
  return (
    run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: consumer }) &&
    run(process.execPath, ['main.mjs'], { cwd: consumer })
  );
}

const tool = (name, ...args) => run(path.join(root, 'node_modules/.bin', name), args);

const steps = {
  publint: (manifest) => tool('publint', '--strict', tarball(manifest)),
  types: (manifest) => tool('attw', '--profile', 'esm-only', '--format', 'ascii', '--quiet', tarball(manifest)),
  'use alone': consume,
};

let failed = !pnpm('--recursive', '--filter', './packages/*', 'pack', '--pack-destination', folder);
if (!failed) {
  for (const manifest of manifests) {
    for (const [name, step] of Object.entries(steps)) {
      if (step(manifest)) continue;
      process.stderr.write(`${manifest.name}: ${name} failed\n`);
      failed = true;
    }
  }
}
rmSync(folder, { recursive: true, force: true });
process.exitCode = failed ? 1 : 0;
