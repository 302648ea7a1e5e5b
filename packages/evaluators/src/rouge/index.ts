export { porterStem } from './porter-stemmer';
export { rougeL, type RougeScore } from './rouge-l';
