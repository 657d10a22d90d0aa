/** The directories that are ticked for a session: each stands for all that is below it. */

import { SvelteMap } from 'svelte/reactivity';
import type { Directory } from '../api/types';

/** What of a directory is needed to choose it. */
export type Choosable = Pick<Directory, 'path' | 'name' | 'imageCount' | 'imageCountIsComplete'>;

/** How the gateway is told what was chosen. */
export interface ChosenDirectories {
  rootPath: string;
  /** Absolute paths under the root; empty where it is the root itself that was chosen. */
  subdirectories: string[];
}

export class DirectoryChoice {
  #ticked = new SvelteMap<string, Choosable>();

  /** In the order in which they were ticked. */
  readonly directories = $derived([...this.#ticked.values()]);
  /** Photos in them, and below. */
  readonly photos = $derived(this.directories.reduce((sum, { imageCount }) => sum + imageCount, 0));
  /** Whether all photos could be counted. */
  readonly isCounted = $derived(this.directories.every(({ imageCountIsComplete }) => imageCountIsComplete));

  isTicked(path: string): boolean {
    return this.#ticked.has(path);
  }

  /** Whether a directory above this one is ticked, and this one with it. */
  isImplied(path: string): boolean {
    return this.directories.some((each) => each.path !== path && isWithin(path, each.path));
  }

  /** Whether some directory below this one is ticked. */
  holdsTicked(path: string): boolean {
    return this.directories.some((each) => each.path !== path && isWithin(each.path, path));
  }

  /** Ticks a directory in place of those below it, or takes its tick away. */
  toggle(directory: Choosable): void {
    const { path } = directory;
    if (this.#ticked.delete(path)) return;
    for (const each of this.directories) if (isWithin(each.path, path)) this.#ticked.delete(each.path);
    this.#ticked.set(path, directory);
  }

  /** The session's root and directories; null where nothing is ticked, or no media root holds all of it. */
  chosen(mediaRoots: readonly string[]): ChosenDirectories | null {
    const paths = this.directories.map(({ path }) => path);
    const rootPath = commonDirectory(paths);
    if (rootPath === null || !mediaRoots.some((root) => isWithin(rootPath, root))) return null;
    return { rootPath, subdirectories: paths.length === 1 ? [] : paths };
  }
}

/** Whether a path is a directory or lies below it. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith('/') ? directory : `${directory}/`);
}

/** The deepest directory that holds all of these paths; null for none. */
function commonDirectory(paths: readonly string[]): string | null {
  const [first, ...others] = paths;
  if (first === undefined) return null;
  let common = first;
  while (!others.every((path) => isWithin(path, common))) common = common.slice(0, common.lastIndexOf('/')) || '/';
  return common;
}
