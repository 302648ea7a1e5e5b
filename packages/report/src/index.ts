export { collect } from './results/collect';
export { writeResultsReport } from './results/write';
export { alignedRows, markdownRows } from './rows';
export { summarise } from './summary';
export { bestLine, sweepTable } from './sweep/render';
export { writeSweepReport } from './sweep/write';
export { formatEvaluations, formatTable } from './table';
export { judge } from './verdict';
export { writeReport } from './write';
