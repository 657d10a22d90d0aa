/** Requests for choosing what to train on: directories under the media roots, and categories of sessions. */

import { API, request } from './client';
import type { Category, Directory, DirectoryPreview, Page } from './types';

const DIRECTORIES = `${API}/training/directories`;

/** The directories in a directory, or the media roots; also those that no session walks. */
export function listDirectories(path: string | null, signal?: AbortSignal): Promise<Directory[]> {
  const query = new URLSearchParams({ include_ignored: 'true', include_training_status: 'true' });
  if (path !== null) query.set('path', path);
  return request(`${DIRECTORIES}?${query.toString()}`, { signal });
}

/** The photos of a directory itself, not of those below it. */
export function previewDirectory(path: string, signal?: AbortSignal): Promise<DirectoryPreview> {
  return request(`${DIRECTORIES}/preview?${new URLSearchParams({ path }).toString()}`, { signal });
}

/** A picture of a photo that need not be known to Triptych yet. */
export function previewThumbnailUrl(path: string): string {
  return `${DIRECTORIES}/preview/thumbnail?${new URLSearchParams({ path }).toString()}`;
}

/** Leaves a directory and all below it out of every session from now on. */
export async function ignoreDirectory(path: string): Promise<void> {
  await request(`${DIRECTORIES}/ignore`, { method: 'POST', body: { path } });
}

/** Lets sessions walk an ignored directory again. */
export async function heedDirectory(path: string): Promise<void> {
  await request(`${DIRECTORIES}/ignore?${new URLSearchParams({ path }).toString()}`, { method: 'DELETE' });
}

/** All categories: as many as one page holds, which is more than a person chooses from. */
export async function listCategories(signal?: AbortSignal): Promise<Category[]> {
  return (await request<Page<Category>>(`${API}/categories?page_size=100`, { signal })).items;
}

export function createCategory(name: string): Promise<Category> {
  return request(`${API}/categories`, { method: 'POST', body: { name } });
}
