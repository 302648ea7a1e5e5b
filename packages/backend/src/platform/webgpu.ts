import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../errors';
import { WebgpuDevice } from '../webgpu/device';
import { mendMatMul } from './mat-mul';
import { firstLine, isNode, resolvePackage } from './node';
import type { Platform, Probe, StartOptions } from './platform';
import { unavailable } from './platform';

interface AdapterFacts {
  readonly names: string[];
  readonly fallback: boolean;
}

const DRIVER = 'install the Vulkan loader and the driver of the graphics card (Debian and Ubuntu: apt-get install libvulkan1)';

/** WebGPU: the browser's own, or in Node that of the optional package `webgpu` (Dawn). */
export const webgpu: Platform = {
  name: 'webgpu',
  tfjsName: 'webgpu',
  probe: () => (isNode && !nodeGpu ? probeInChild() : probeHere()),
  async start(options) {
    if (isNode) await provideNodeGpu();
    // With a handler, bundlers accept that this optional package is not installed.
    const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu').catch((error: unknown) => {
      throw new Error(`@tensorflow/tfjs-backend-webgpu did not load: ${firstLine(error)}`);
    });
    forgetLostDevice();
    if (!(await tf.setBackend('webgpu'))) throw new Error('the adapter gave no device');
    mendMatMul('webgpu');
    const backend = tf.backend();
    if (backend instanceof WebGPUBackend) reportErrors(backend.device, options);
    const device = WebgpuDevice.of(backend);
    await device.selfTest();
    return device.fault === null ? null : `WebGPU, without the fused inference (${device.fault})`;
  },
};

/** tfjs keeps a backend for ever, also when its device is gone. */
function forgetLostDevice(): void {
  const backend = tf.engine().registry['webgpu'];
  if (backend === undefined || WebgpuDevice.of(backend).loss === null) return;
  const factory = tf.findBackendFactory('webgpu');
  tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', factory, 3);
}

function describe(facts: AdapterFacts | null): Probe {
  if (!facts) return unavailable('no adapter was found', isNode ? DRIVER : 'use a browser and a machine with WebGPU');
  const software = facts.fallback || /swiftshader|llvmpipe|lavapipe|softpipe|basic render|\bwarp\b/i.test(facts.names.join(' '));
  const detail = [...new Set(facts.names.filter(Boolean))].join(' ');
  return { available: true, software, detail };
}

async function probeHere(): Promise<Probe> {
  const gpu = (globalThis.navigator as Navigator | undefined)?.gpu;
  if (!gpu) return unavailable('this browser has no WebGPU', 'use a browser and a machine with WebGPU');
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) return describe(null);
    const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
    return describe({ names: [vendor, architecture, device, description], fallback: isFallbackAdapter });
  } catch (error) {
    return unavailable(`asking for an adapter failed: ${firstLine(error)}`);
  }
}

// In a child process: a broken driver then ends the child instead of this process, and what Dawn and the Vulkan
// loader print there becomes the reason instead of noise.
async function probeInChild(): Promise<Probe> {
  const main = resolvePackage('webgpu');
  if (!main) return unavailable('the package webgpu is not installed', 'npm install webgpu');
  if (!resolvePackage('@tensorflow/tfjs-backend-webgpu')) {
    return unavailable(
      'the package @tensorflow/tfjs-backend-webgpu is not installed',
      'npm install @tensorflow/tfjs-backend-webgpu@4.22.0',
    );
  }
  const script = `const { create } = await import(process.argv[1]);
    const adapter = await create([]).requestAdapter({ powerPreference: 'high-performance' });
    const { vendor, architecture, device, description, isFallbackAdapter } = adapter?.info ?? {};
    console.log(JSON.stringify(adapter && { names: [vendor, architecture, device, description], fallback: isFallbackAdapter }));
    process.exit();`;
  const { pathToFileURL } = process.getBuiltinModule('node:url');
  const { execFile } = process.getBuiltinModule('node:child_process');
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--input-type=module', '--eval', script, pathToFileURL(main).href],
      { timeout: 30_000, env: { ...process.env, NODE_OPTIONS: '' } },
      (error, stdout, stderr) => {
        const said = /^(?:Warning|Error): (.+)$/m.exec(stderr)?.[1];
        if (error) resolve(unavailable(`asking Dawn for an adapter failed: ${said ?? firstLine(error)}`, DRIVER));
        else if (stdout.trim() === 'null' && said) resolve(unavailable(`no adapter was found: ${said}`, DRIVER));
        else resolve(describe(JSON.parse(stdout) as AdapterFacts | null));
      },
    );
  });
}

let nodeGpu: GPU | null = null;

/** Gives Node the globals of a browser that tfjs looks for. */
async function provideNodeGpu(): Promise<void> {
  if (nodeGpu) return;
  const { pathToFileURL } = process.getBuiltinModule('node:url');
  const url = pathToFileURL(resolvePackage('webgpu')!).href;
  const dawn = (await import(/* @vite-ignore */ url)) as { create(flags: string[]): GPU; globals: object };
  nodeGpu = dawn.create([]);
  Object.assign(globalThis, dawn.globals);
  if (typeof globalThis.navigator === 'undefined') {
    Object.defineProperty(globalThis, 'navigator', { value: { userAgent: 'node' }, configurable: true });
  }
  Object.defineProperty(globalThis.navigator, 'gpu', { value: nodeGpu, configurable: true });
}

const watched = new WeakSet<GPUDevice>();
let reportError: (error: Error) => void;

// Work that a device refuses leaves wrong numbers and this event as the only sign.
function reportErrors(device: GPUDevice, { onDeviceError }: StartOptions): void {
  reportError = onDeviceError ?? ((error) => (isNode ? process.emitWarning(error) : globalThis.reportError(error)));
  if (watched.has(device)) return;
  watched.add(device);
  device.addEventListener('uncapturederror', ({ error }) => {
    reportError(new BackendError(`webgpu: the device refused an operation, its results are wrong: ${firstLine(error.message)}`));
  });
}
