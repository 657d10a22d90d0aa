/** What is asked before a person, a photo or a session is forgotten or deleted, and what is told once it is done. */

import type { Asset, Forgetting, Person, Session } from './api/types';
import { countOf } from './format';
import { fileName, personName, type Confirmation } from './wording';

/** What outlives a forgetting until somebody sees to it. */
const AFTERWARDS =
  'What was removed stays readable in the database’s own files until “triptych scrub” has run, and in older backups.';

function faces(number: number): string {
  return countOf(number, 'face', 'faces');
}

function photos(number: number): string {
  return countOf(number, 'photo', 'photos');
}

export function forgettingPerson(person: Pick<Person, 'id' | 'name' | 'faceCount' | 'assetCount'>): Confirmation {
  return {
    question: `Forget ${personName(person)}?`,
    consequence:
      `${faces(person.faceCount)} in ${photos(person.assetCount)} and the name are removed for good, and no face is` +
      ' stored again at these places. The photos stay.',
    yes: 'Forget',
    no: 'Keep',
  };
}

export function forgettingPhoto(asset: Pick<Asset, 'path' | 'faces'>): Confirmation {
  const found = asset.faces.length > 0 ? ` its ${faces(asset.faces.length)},` : '';
  return {
    question: `Forget ${fileName(asset.path)}?`,
    consequence:
      `What was learnt of the photo,${found} its place in sessions, and people who are in no other photo are removed` +
      ' for good. The file itself stays: a later session over its folder finds it again, unless it is moved away or' +
      ' the folder is left out.',
    yes: 'Forget',
    no: 'Keep',
  };
}

export function forgettingSession(session: Pick<Session, 'name' | 'totalImages'>): Confirmation {
  const whose = session.totalImages > 0 ? `those of its ${photos(session.totalImages)}` : 'those of its photos';
  return {
    question: `Forget “${session.name}” and what it found?`,
    consequence:
      `The session is removed for good, and with it all that is known of ${whose} that no other session has: what was` +
      ' learnt of them, their faces, and people who are in no other photo, with their names. The files of the photos' +
      ' stay. To keep what was found, delete the session instead.',
    yes: 'Forget',
    no: 'Keep',
  };
}

export function deletingSession(session: Pick<Session, 'name'>): Confirmation {
  return {
    question: `Delete “${session.name}”?`,
    consequence:
      'The session goes from the list, with its progress and its list of failed photos. Everything that was found in' +
      ' its photos stays, people and their names too, and so do the files.',
    yes: 'Delete',
    no: 'Keep',
  };
}

/** What was removed: "Ada was forgotten: 1 person, 9 faces. The photos stay. …". */
export function forgottenInWords(what: string, { kind, persons, faces: seen, photos: of }: Forgetting): string {
  const removed = [
    persons > 0 ? countOf(persons, 'person', 'people') : '',
    of > 0 ? photos(of) : '',
    seen > 0 ? faces(seen) : '',
  ].filter((part) => part !== '');
  const counted = removed.length > 0 ? `: ${removed.join(', ')}` : '';
  const stays = kind === 'person' ? 'The photos stay.' : 'The files of photos stay.';
  return `${what} was forgotten${counted}. ${stays} ${AFTERWARDS}`;
}

export function deletedInWords(name: string): string {
  return `“${name}” was deleted. What was found in its photos stays.`;
}
