import { fuzzSuite } from './fuzz-suite';

// 301,000 files.
fuzzSuite(21_500);
