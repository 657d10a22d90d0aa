/** What is asked before something is forgotten or deleted, and what is told afterwards. */

import { describe, expect, it } from 'vitest';
import type { Forgetting } from '../src/lib/api/types';
import {
  deletingSession,
  forgettingPerson,
  forgettingPhoto,
  forgettingSession,
  forgottenInWords,
} from '../src/lib/forgetting';

function forgetting(changes: Partial<Forgetting>): Forgetting {
  return {
    id: 1,
    kind: 'photo',
    subjectId: 3,
    keepOut: false,
    persons: 0,
    faces: 0,
    photos: 0,
    sessions: 0,
    waitsFor: null,
    askedAt: '2026-01-12T10:00:00Z',
    doneAt: '2026-01-12T10:00:01Z',
    ...changes,
  };
}

describe('what is asked', () => {
  it('of a person is by name, with what goes and what stays', () => {
    const asked = forgettingPerson({ id: 7, name: 'Ada', faceCount: 1, assetCount: 2 });
    expect(asked.question).toBe('Forget Ada?');
    expect(asked.consequence).toContain('1 face in 2 photos');
    expect(asked.consequence).toContain('The photos stay.');
    expect(forgettingPerson({ id: 7, name: null, faceCount: 3, assetCount: 3 }).question).toBe('Forget Person 7?');
  });

  it('of a photo says that its file stays, and is found again', () => {
    const asked = forgettingPhoto({ path: '/photos/boat.jpg', faces: [] });
    expect(asked.question).toBe('Forget boat.jpg?');
    expect(asked.consequence).toContain('The file itself stays');
    expect(asked.consequence).not.toContain('its 0 faces');
  });

  it('of a session tells forgetting from deleting', () => {
    const session = { name: 'Summer', totalImages: 48 };
    expect(forgettingSession(session).consequence).toContain('those of its 48 photos that no other session has');
    expect(forgettingSession(session).consequence).toContain('The files of the photos stay.');
    expect(forgettingSession(session).consequence).toContain('delete the session instead');
    expect(deletingSession(session).consequence).toContain('Everything that was found in its photos stays');
  });
});

describe('what is told afterwards', () => {
  it('is what was removed, and what stays', () => {
    const told = forgottenInWords('“Summer”', forgetting({ kind: 'session', sessions: 1, persons: 1, photos: 48, faces: 53 }));
    expect(told).toContain('“Summer” was forgotten: 1 person, 48 photos, 53 faces. The files of photos stay.');
    expect(told).toContain('triptych scrub');
  });

  it('is short where nothing else was removed with it', () => {
    expect(forgottenInWords('Ada', forgetting({ kind: 'person' }))).toContain('Ada was forgotten. The photos stay.');
  });
});
