export type { ChatEndpoint } from './chat-completion';
export type { JudgeSample } from './judge';
