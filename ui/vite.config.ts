// Build, development server and tests of the page.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { svelteTesting } from '@testing-library/svelte/vite';
import { defineConfig } from 'vitest/config';

const gateway = process.env['TRIPTYCH_GATEWAY_URL'] ?? 'http://127.0.0.1:8000';

export default defineConfig({
  // The second matters to tests only: it has components mounted as in a browser, and unmounted after each test.
  plugins: [svelte(), svelteTesting()],
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
  test: {
    environment: 'jsdom',
    include: ['tests/**/*.test.ts'],
    setupFiles: ['tests/setup.ts'],
    // Longer than waiting for anything in a test: what never comes is told by the test's own words.
    testTimeout: 120_000,
  },
});
