import { Client } from './client';
const client = new Client(console.error);
(async () => {
  console.log(JSON.stringify(await client.call('catalog', null).result));
  console.log(JSON.stringify(await client.call('open', { source: { kind: 'shipped', name: 'sotu-mini' }, backend: 'auto' }, (e) => console.log(JSON.stringify(e))).result));
  console.log(JSON.stringify(await client.call('plan', { prompt: 'The state of', maxNewTokens: 60, variants: [{ attention: 'mixsga:3:1:6', eviction: 'h2o:0.6' }] }).result));
  console.log(JSON.stringify(await client.call('run', { prompt: 'The state of the Union is', attention: 'mixsga:3:1:6', eviction: 'none', backend: 'wasm', maxNewTokens: 60, temperature: 0, topK: 0, topP: 1, seed: 1, pace: 0, generated: [] }, (e) => console.log(JSON.stringify(e))).result));
})().catch((e) => console.log('FAILED', e.message));
