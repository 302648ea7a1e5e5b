export { checkJudge } from './chat-completion';
export type { ChatEndpoint } from './chat-completion';
export type { JudgeSample } from './judge';
