import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const root = fileURLToPath(new URL('..', import.meta.url));

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const windows = process.platform === 'win32';

/** Runs a command; its output goes to standard error, which leaves standard output to results. True when it exits with 0. */
export function run(command, args, options = {}) {
  // Nobody asked these tools to report anything.
  const env = { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', NPM_CONFIG_UPDATE_NOTIFIER: 'false' };
  return spawnSync(command, args, { cwd: root, env, stdio: ['inherit', 2, 2], shell: windows, ...options }).status === 0;
}

/** Runs the pnpm of package.json's `packageManager`, fetched by npx when the machine has none. */
export function pnpm(...args) {
  return run('npx', ['--yes', manifest.packageManager, ...args]);
}

/** Runs a task of turbo.json in every package, or in those that `options` filter. */
export function turbo(task, ...options) {
  return pnpm('exec', 'turbo', 'run', task, '--concurrency=2', '--output-logs=errors-only', ...options);
}

/** Installs the dependencies of a fresh clone from the lockfile; ends the process with a reason where that can't be. */
export function install() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(`mixsga needs Node 20.19 or later, got ${process.versions.node}; see https://nodejs.org`);
  }
  if (!pnpm('install', '--frozen-lockfile', '--reporter=append-only')) {
    fail('The dependencies could not be installed; the lines above say why (is the network reachable?)');
  }
}

export function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
