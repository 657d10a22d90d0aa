/** What a person has put into the form for a new session, and where the gateway's objections to it belong. */

import type { ApiError } from './api/client';

export type ChosenCategory = { kind: 'none' } | { kind: 'known'; id: number } | { kind: 'new'; name: string };

/** The fields of the form that something can be wrong with; "form" for what concerns none of them. */
export type Place = 'name' | 'folders' | 'category' | 'form';

export interface Mistake {
  readonly at: Place;
  readonly message: string;
}

/** Where the gateway's refusal of a new session belongs. */
export function placeOfRefusal(error: ApiError): Place {
  if (error.field === 'name') return 'name';
  if (error.field === 'rootPath' || error.field === 'subdirectories') return 'folders';
  if (error.field === 'categoryId' || error.httpStatus === 404) return 'category';
  return error.httpStatus === 400 && /path|directory/.test(error.code) ? 'folders' : 'form';
}
