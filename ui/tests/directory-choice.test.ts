/** What ticking directories means: each stands for all below it, and the session's root is what holds them all. */

import { describe, expect, it } from 'vitest';
import { DirectoryChoice, isWithin } from '../src/lib/live/directoryChoice.svelte';

const ROOTS = ['/photos', '/scans'];

function ticked(...paths: string[]): DirectoryChoice {
  const choice = new DirectoryChoice();
  for (const path of paths) {
    choice.toggle({ path, name: path.slice(path.lastIndexOf('/') + 1), imageCount: 10, imageCountIsComplete: true });
  }
  return choice;
}

describe('what the gateway is told', () => {
  it('is the one directory as the root', () => {
    expect(ticked('/photos/2024').chosen(ROOTS)).toEqual({ rootPath: '/photos/2024', subdirectories: [] });
    expect(ticked('/photos').chosen(ROOTS)).toEqual({ rootPath: '/photos', subdirectories: [] });
  });

  it('is the deepest directory that holds several, and those', () => {
    expect(ticked('/photos/2024/summer', '/photos/2024/winter').chosen(ROOTS)).toEqual({
      rootPath: '/photos/2024',
      subdirectories: ['/photos/2024/summer', '/photos/2024/winter'],
    });
    expect(ticked('/photos/2024', '/photos/20').chosen(ROOTS)?.rootPath).toBe('/photos');
  });

  it('is nothing where nothing is ticked, or no media root holds all', () => {
    expect(ticked().chosen(ROOTS)).toBeNull();
    expect(ticked('/photos/2024', '/scans/a').chosen(ROOTS)).toBeNull();
    expect(ticked('/photos/2024', '/scans/a').chosen(['/'])?.rootPath).toBe('/');
  });
});

describe('a tick', () => {
  it('takes those below with it, whose own ticks it replaces', () => {
    const choice = ticked('/photos/2024/summer', '/photos/2025', '/photos/2024');
    expect(choice.directories.map(({ path }) => path)).toEqual(['/photos/2025', '/photos/2024']);
    expect(choice.isImplied('/photos/2024/summer')).toBe(true);
    expect(choice.isImplied('/photos/2024')).toBe(false);
    expect(choice.holdsTicked('/photos')).toBe(true);
    expect(choice.photos).toBe(20);
  });

  it('goes when it is set again', () => {
    const choice = ticked('/photos/2024', '/photos/2024');
    expect(choice.isTicked('/photos/2024')).toBe(false);
    expect(choice.directories).toEqual([]);
  });
});

it('a path is within a directory by whole names only', () => {
  expect(isWithin('/photos/2024', '/photos')).toBe(true);
  expect(isWithin('/photos-old', '/photos')).toBe(false);
  expect(isWithin('/photos', '/')).toBe(true);
});
