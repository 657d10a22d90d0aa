/** `npm run dev`: where it is, and whom it asks. */

import { expect, it } from 'vitest';
import config from '../vite.config';

it('serves on 5173 of this machine, and asks the gateway on 8000', () => {
  expect(config.server).toMatchObject({ host: '127.0.0.1', port: 5173 });
  expect(config.server?.proxy).toEqual({ '/api': 'http://127.0.0.1:8000', '/health': 'http://127.0.0.1:8000' });
});
