import { ArgumentError, MixsgaError, onWarning } from '@mixsga/backend';
import { asFileError } from '@mixsga/models';
import { Interrupted } from '@mixsga/training/node';
import { Command, CommanderError } from 'commander';

import { loadPlugins, pluginArguments } from './plugins';

const USAGE_ERROR = 2;

/** Runs the command line, and prints what it has to say. @returns the exit code */
export async function main(argv: string[]): Promise<number> {
  try {
    await loadPlugins(pluginArguments(argv), process.cwd());
    // They read the catalogs when they are loaded.
    const { commands } = await import('./commands');
    return await run(argv, commands);
  } catch (error) {
    return report(error);
  }
}

async function run(argv: string[], commands: readonly ((program: Command) => void)[]): Promise<number> {
  const program = new Command('mixsga')
    .description('Train, convert, compare and evaluate mixSGA models.')
    .version('0.1.0')
    .option('--plugin <module>', 'a file or package that registers attention variants, cache policies, evaluators, families or routers of its own; repeatable', (value: string, all: string[]) => [...all, value], [])
    .exitOverride()
    .showHelpAfterError('(--help lists the commands and options)');
  for (const register of commands) register(program);
  // Subcommands copy the settings of their parent only when they are made by .command(), so the override is repeated.
  for (const command of program.commands) command.exitOverride();
  await program.parseAsync(argv);
  return 0;
}

/** Prints an error as one line and gives the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_ERROR; // it has printed its own line
  if (error instanceof Interrupted) {
    process.stderr.write(`mixsga: ${error.message}\n`);
    return error.exitCode;
  }
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`mixsga: ${message.split('\n', 1)[0]}\n`);
  if (process.env.MIXSGA_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  else if (!MixsgaError.isInstance(error)) process.stderr.write('mixsga: MIXSGA_DEBUG=1 shows where this happened\n');
  return ArgumentError.isInstance(error) ? USAGE_ERROR : 1;
}

// Whoever reads the output may have enough of it, as `head` has.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.exit(report(asFileError('standard output', error, 'write')));
});
// The work goes on when nobody sees how far it is.
process.stderr.on('error', () => undefined);

onWarning((message) => process.stderr.write(`mixsga: warning: ${message}\n`));
