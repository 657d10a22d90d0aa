/** How long tests wait for what is to appear: long enough on a busy machine. */

import { configure } from '@testing-library/svelte';

configure({ asyncUtilTimeout: 10_000 });
