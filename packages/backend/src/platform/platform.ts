/** The backends by the names users know: of `--backend`, of `MIXSGA_BACKEND`, and of {@link startBackend}. */
export const backendNames = ['wasm', 'cpu', 'webgpu', 'cuda'] as const;
export type BackendName = (typeof backendNames)[number];

export interface StartOptions {
  /**
   * Where a browser finds the `.wasm` files of @tensorflow/tfjs-backend-wasm: a folder's URL with a slash at its
   * end. In Node they are found in the installed package.
   */
  readonly wasmPaths?: string;
  /**
   * Called when a WebGPU device reports an error after the fact; the results of the operation that caused it are
   * wrong. By default the error becomes a process warning in Node and a console error in browsers.
   */
  readonly onDeviceError?: (error: Error) => void;
}

/** What is known of a backend on this machine, without making it the active one. */
export interface BackendReport {
  readonly name: BackendName;
  /** Its name in the registry of TensorFlow.js. */
  readonly tfjsName: string;
  /** Whether {@link startBackend} is expected to start it. */
  readonly available: boolean;
  /**
   * True when the processor stands in for the device that the backend is made for: SwiftShader for a graphics
   * card, libtensorflow without CUDA. It starts when asked for by name; `auto` passes over it.
   */
  readonly software: boolean;
  /** The device or build, for people; empty when unknown. */
  readonly detail: string;
  /** Why it can't start; one line. */
  readonly reason?: string;
  /** What to do about that, a command where there is one. */
  readonly install?: string;
}

export type Probe = Pick<BackendReport, 'available' | 'software' | 'detail' | 'reason' | 'install'>;

/** One backend: a file of this folder and a line in `index.ts`. */
export interface Platform {
  readonly name: BackendName;
  readonly tfjsName: string;
  /** Finds out whether it can start; leaves the active backend as it is and does not throw. */
  probe(): Promise<Probe>;
  /** Prepares it, makes it the active one, and returns the detail known only now, or null. Throws when it can't. */
  start(options: StartOptions): Promise<string | null>;
}

export const unavailable = (reason: string, install?: string): Probe => ({
  available: false,
  software: false,
  detail: '',
  reason,
  ...(install === undefined ? {} : { install }),
});
