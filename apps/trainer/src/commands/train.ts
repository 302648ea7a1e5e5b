import { join } from 'node:path';

import type { Command } from 'commander';

import { runComparison } from '../comparison/run';
import { presets } from '../presets';
import { formatTable, judge, summarise } from '../report';
import { Interrupted, withInterruption } from '../training/interruption';
import { parentReporter, terminalReporter } from '../training/reporter';
import { type RunResult, runTraining } from '../training/run';
import { loadConfig, type LoadedConfig } from './load-config';
import { print, settingsOption } from './options';

interface TrainOptions {
  set: string[];
  resume: boolean;
  out?: string;
}

export function registerTrain(program: Command): void {
  program
    .command('train')
    .description('Train a model, or run a comparison of methods, as a configuration says.')
    .argument('<config>', `a JSON file, or a preset: ${Object.keys(presets).join(', ')}`)
    .addOption(settingsOption())
    .option('--resume', 'continue the run that the folder holds', false)
    .option('--out <folder>', 'where the run goes (default: mixsga-<name of the configuration>)')
    .action(async (nameOrPath: string, options: TrainOptions) => {
      const loaded = await loadConfig(nameOrPath, options.set);
      const folder = options.out ?? `mixsga-${loaded.name}`;
      const again = ['mixsga train', nameOrPath, ...options.set.map((setting) => `--set '${setting}'`), '--out', folder];
      await trainOrCompare(loaded, { folder, resume: options.resume, again: `${again.join(' ')} --resume` });
    });
}

/**
 * Trains or compares, whichever the configuration asks for, and prints the result.
 *
 * @param again the command that continues after a Ctrl-C
 */
export async function trainOrCompare(
  { config }: LoadedConfig,
  { folder, resume, again }: { folder: string; resume: boolean; again: string },
): Promise<void> {
  const reporter = process.channel === undefined ? terminalReporter() : parentReporter();
  try {
    await withInterruption(async (signal) => {
      if (config.kind === 'run') {
        const result = await runTraining(config, folder, { resume, signal, reporter });
        reporter.done();
        print(formatRun(result, folder));
      } else {
        const { report, files } = await runComparison(config, folder, { entry: process.argv[1]!, resume, signal });
        const { sentence, remarks } = judge(summarise(report));
        print(`${formatTable(report)}\n\n${[sentence.replaceAll('**', ''), ...remarks].join('\n')}`);
        print(`\nreport: ${files.find((file) => file.endsWith('.md')) ?? join(folder, 'report.json')}`);
      }
    });
  } catch (error) {
    reporter.done();
    if (error instanceof Interrupted) throw new Interrupted(`${error.message}; continue with: ${again}`);
    throw error;
  }
}

function formatRun(result: RunResult, folder: string): string {
  const { perplexity } = result;
  const routed = result.agreement === null ? '' : `, agreement ${(100 * result.agreement).toFixed(1)} %`;
  return (
    `${folder}: ${result.attention}, ${result.tokens} tokens; validation perplexity ${perplexity.decode.toFixed(3)} under decode ` +
    `routing, ${perplexity.prefill.toFixed(3)} under prefill${routed}`
  );
}
