// Build, development server and tests of the page.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const gateway = process.env['TRIPTYCH_GATEWAY_URL'] ?? 'http://127.0.0.1:8000';

export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  // Relative, so that it does not matter under which path the gateway serves these files.
  base: './',
  build: {
    outDir: '../gateway/src/triptych_gateway/ui',
    emptyOutDir: true,
    target: 'es2022',
  },
  server: {
    host: '127.0.0.1',
    port: 5173,
    proxy: { '/api': gateway, '/health': gateway },
  },
  // Vitest would otherwise take Svelte's server build, in which components cannot be mounted.
  resolve: mode === 'test' ? { conditions: ['browser'] } : {},
  test: {
    environment: 'jsdom',
    include: ['tests/**/*.test.ts'],
  },
}));
