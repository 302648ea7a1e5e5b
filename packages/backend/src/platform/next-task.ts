/**
 * Resolves in a task of its own, before which signals, input and timers get their turn. Where work is done at once, as on
 * wasm and cpu, promises alone never give it to them.
 */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') {
      setImmediate(resolve);
      return;
    }
    // Browsers make a nested setTimeout wait for 4 ms.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
