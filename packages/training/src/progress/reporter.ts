import { formatProgress, type ProgressState } from './progress';
import { ProgressLine } from './progress-line';

/** Where a run tells how it goes. */
export interface Reporter {
  progress(state: ProgressState): void;
  /** What goes on when it is not training: a few words. */
  activity(text: string): void;
  /** Something worth a line: what was loaded, what was measured. */
  message(text: string): void;
  /** Something that went wrong and was mended. */
  warning(text: string): void;
  /** Called once at the end, whatever the end was. */
  done(): void;
}

/** On standard error: a progress line, and messages that stay. */
export function terminalReporter(): Reporter {
  const line = new ProgressLine();
  return {
    progress: (state) => line.show(formatProgress(state)),
    activity: (text) => line.show(text),
    message: (text) => line.log(text),
    warning: (text) => line.log(`warning: ${text}`),
    done: () => line.clear(),
  };
}

/** What a run in a child process sends to the comparison that started it. */
export type ChildMessage = { progress: ProgressState } | { activity: string } | { message: string } | { warning: string };

/** To the parent process, over the channel that node:child_process made. */
export function parentReporter(): Reporter {
  const send = (message: ChildMessage): void => {
    // The parent may be gone. That is heard as a disconnect, so the failure to send is nobody's news.
    if (process.connected) process.send!(message, undefined, undefined, () => undefined);
  };
  return {
    progress: (progress) => send({ progress }),
    activity: (activity) => send({ activity }),
    message: (message) => send({ message }),
    warning: (warning) => send({ warning }),
    done: () => undefined,
  };
}
