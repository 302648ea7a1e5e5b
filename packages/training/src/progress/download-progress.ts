import type { DownloadProgress } from '@mixsga/models';

import type { ProgressLine } from './progress-line';

/** Shows a download on a line: bytes, rate and time left. */
export function downloadProgress(line: Pick<ProgressLine, 'show'>): (progress: DownloadProgress) => void {
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  return ({ file, bytes, total, rate, secondsLeft }) => {
    const left = secondsLeft === null ? '' : `, ${megabytes(rate)} MB/s, ${Math.ceil(secondsLeft)} s left`;
    line.show(`fetching ${file}: ${megabytes(bytes)} of ${megabytes(total)} MB${left}`);
  };
}
