export type { ReportExtras, RoutedSentence, TrainingCurve } from './extras';
export { type MethodResult, parseReport, type Report } from './schema';
export { formatEvaluations, formatTable } from './table';
export { summarise } from './summary';
export { judge } from './verdict';
export { writeReport } from './write';
