// `npm run demo`: from a fresh clone to the comparison, with nothing but Node and npm.
import { spawn } from 'node:child_process';
import { fail, install, root, turbo } from './workspace.mjs';

install();
process.env.MIXSGA_DECLARATIONS = 'off';
if (!turbo('build', '--filter=@mixsga/trainer')) {
  fail('The build failed; the lines above say where');
}
const demo = spawn(process.execPath, ['apps/trainer/dist/cli.js', 'demo', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, MIXSGA_PARENT: String(process.pid) }, // it ends with this process
});
// It hears Ctrl-C from the terminal itself, saves and ends.
process.on('SIGINT', () => undefined).on('SIGTERM', () => demo.kill('SIGTERM'));
demo.on('exit', (code, signal) => process.exit(signal === null ? code : 130));
