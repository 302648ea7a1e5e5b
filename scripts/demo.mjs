// `npm run demo`: from a fresh clone to the comparison, with nothing but Node and npm.
import { spawnSync } from 'node:child_process';
import { fail, install, root, turbo } from './workspace.mjs';

install();
process.env.MIXSGA_DECLARATIONS = 'off';
if (!turbo('build', '--filter=@mixsga/trainer')) {
  fail('The build failed; the lines above say where');
}
const demo = spawnSync(process.execPath, ['apps/trainer/dist/cli.js', 'demo', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(demo.status ?? 1);
