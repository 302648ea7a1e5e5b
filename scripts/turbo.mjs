// `pnpm build` and `pnpm typecheck`: a turbo task without telemetry.
import { turbo } from './workspace.mjs';

process.exitCode = turbo(...process.argv.slice(2)) ? 0 : 1;
