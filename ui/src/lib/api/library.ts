/** Requests for what training was for: people, their faces, photos, and the search among them. */

import { API, request } from './client';
import type { Asset, ChangedPerson, Face, Forgetting, Page, Person, PersonChange, PersonFilter, SearchResults } from './types';

export const PAGE_SIZE = 100;
/** Longest side of a photo that is shown large, in pixels: the most that the gateway makes. */
const LARGE_PIXELS = 1_600;

const FORGETTING_POLL_MS = 300;
/** Part of a name as short as "A" is in thousands: nobody waits for all of those. */
const MOST_NAME_PAGES = 5;

interface PersonQuery {
  status?: PersonFilter;
  /** Part of a name; empty for everybody. */
  name?: string;
  sessionId?: number;
}

export function listPersons(query: PersonQuery, page: number, signal?: AbortSignal): Promise<Page<Person>> {
  const parameters = new URLSearchParams({ page: String(page), page_size: String(PAGE_SIZE) });
  if (query.status) parameters.set('status', query.status);
  if (query.name) parameters.set('q', query.name);
  if (query.sessionId) parameters.set('session_id', String(query.sessionId));
  return request(`${API}/faces/persons?${parameters.toString()}`, { signal });
}

/** Who the session's latest clustering changed, of people with a name. */
export function listChangedPersons(sessionId: number, page: number, signal?: AbortSignal): Promise<Page<ChangedPerson>> {
  return request(`${API}/training/sessions/${sessionId}/changed-persons?page=${page}&page_size=${PAGE_SIZE}`, { signal });
}

/** Everybody whose name is exactly that, capitals or not, as far as the first so many with such a part of it tell. */
export async function listNamesakes(name: string, signal?: AbortSignal): Promise<Person[]> {
  const wanted = name.trim().toLocaleLowerCase();
  const found: Person[] = [];
  for (let page = 1, hasMore = true; hasMore && page <= MOST_NAME_PAGES; page += 1) {
    const answer = await listPersons({ status: 'all', name: wanted }, page, signal);
    found.push(...answer.items.filter((each) => each.name?.toLocaleLowerCase() === wanted));
    hasMore = answer.hasMore;
  }
  return found;
}

export function getPerson(personId: number, signal?: AbortSignal): Promise<Person> {
  return request(`${API}/faces/persons/${personId}`, { signal });
}

export function changePerson(personId: number, change: PersonChange): Promise<Person> {
  return request(`${API}/faces/persons/${personId}`, { method: 'PATCH', body: change });
}

/** Makes them one; the answer says who they are now. */
export function mergePersons(personId: number, personIds: readonly number[]): Promise<Person> {
  return request(`${API}/faces/persons/${personId}/merge`, { method: 'POST', body: { personIds } });
}

interface Patience {
  signal: AbortSignal;
  /** Called with what it waits for, in one sentence. */
  onwait: (sentence: string) => void;
}

/** Has all removed that was kept of somebody or something; ends when it is done, or when nobody waits any more. */
export async function forget(
  subject: { kind: Forgetting['kind']; id: number },
  { signal, onwait }: Patience,
): Promise<Forgetting> {
  let forgetting = await request<Forgetting>(`${API}/privacy/forgettings`, { method: 'POST', body: subject, signal });
  while (forgetting.doneAt === null && !signal.aborted) {
    onwait(forgetting.waitsFor ?? '');
    await new Promise((resolve) => setTimeout(resolve, FORGETTING_POLL_MS));
    forgetting = await request<Forgetting>(`${API}/privacy/forgettings/${forgetting.id}`, { signal });
  }
  return forgetting;
}

/** Those of whom somebody said that they are not this person. */
export function listDifferentPersons(personId: number, page: number, signal?: AbortSignal): Promise<Page<Person>> {
  return request(`${API}/faces/persons/${personId}/different?page=${page}&page_size=${PAGE_SIZE}`, { signal });
}

/** Says that others are not this person, for good: no grouping makes them one. */
export async function sayDifferent(personId: number, personIds: readonly number[]): Promise<void> {
  await request(`${API}/faces/persons/${personId}/different`, { method: 'POST', body: { personIds } });
}

export function listPersonFaces(personId: number, page: number, signal?: AbortSignal): Promise<Page<Face>> {
  return request(`${API}/faces/persons/${personId}/faces?page=${page}&page_size=${PAGE_SIZE}`, { signal });
}

export function listUnassignedFaces(page: number, signal?: AbortSignal): Promise<Page<Face>> {
  return request(`${API}/faces/unassigned?page=${page}&page_size=${PAGE_SIZE}`, { signal });
}

/** Says who a face is, for good; null for somebody new. */
export function sayWho(faceId: number, personId: number | null): Promise<Face> {
  return request(`${API}/faces/${faceId}/person`, { method: 'POST', body: { personId } });
}

/** Says that a face is not who it is shown as, for good. */
export function sayWhoNot(faceId: number): Promise<Face> {
  return request(`${API}/faces/${faceId}/person`, { method: 'DELETE' });
}

export function getAsset(assetId: number, signal?: AbortSignal): Promise<Asset> {
  return request(`${API}/images/${assetId}`, { signal });
}

export type Sought = { text: string } | { assetId: number } | { picture: File };

/** The photos that are most like a text, a photo of the library, or a picture from elsewhere. */
export function search(sought: Sought, limit: number, signal?: AbortSignal): Promise<SearchResults> {
  if (!('picture' in sought)) return request(`${API}/search`, { method: 'POST', body: { ...sought, limit }, signal });
  const form = new FormData();
  form.set('image', sought.picture);
  form.set('limit', String(limit));
  return request(`${API}/search`, { method: 'POST', body: form, signal });
}

export function cropUrl(faceId: number): string {
  return `${API}/faces/${faceId}/crop`;
}

export function thumbnailUrl(assetId: number): string {
  return `${API}/images/${assetId}/thumbnail`;
}

export function largeUrl(assetId: number): string {
  return `${API}/images/${assetId}/thumbnail?size=${LARGE_PIXELS}`;
}
