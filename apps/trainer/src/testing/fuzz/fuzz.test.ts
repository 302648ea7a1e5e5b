import { fuzzSuite } from './fuzz-suite';

fuzzSuite(720);
