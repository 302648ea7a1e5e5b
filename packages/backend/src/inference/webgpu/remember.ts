/** A function of plain data that keeps its results. For programs: their code is long, and a step runs the same few again. */
export function remember<Arguments extends readonly unknown[], Result>(make: (...args: Arguments) => Result): typeof make {
  const results = new Map<string, Result>();
  return (...args) => {
    const key = JSON.stringify(args);
    let result = results.get(key);
    if (result === undefined) results.set(key, (result = make(...args)));
    return result;
  };
}
