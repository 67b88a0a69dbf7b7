import { optionId, type Role, type SensitiveOption } from './options.js';
import type { Found, Setting } from './sources.js';
import { sallyportOptions } from './sallyport.js';
import { variableOf } from './variables.js';

/** Whether a role has use for a secret; `throughApi`: dag-processor and triggerer have none for the database. */
export function needs(role: Role, option: SensitiveOption, throughApi: boolean): boolean {
  return option.roles.includes(role) && !(option.database === true && throughApi && (role === 'dag-processor' || role === 'triggerer'));
}

/** RFC 3986 section 3.2.1; not one that a variable stands for. Nothing repeats within what repeats: its time is linear. */
const urlWithPassword = /:\/\/[^\s/@:]{0,256}:(?!\$)[^\s/@]{1,1024}@/;

/** What a setting must not be for this role. An empty one, as images set to blank a variable, holds nothing and is let pass. */
export function judge(setting: Setting, role: Role, throughApi: boolean): Found[] {
  const { section, key, origin, place, classified, holds, text } = setting;
  const option = optionId(section, key);
  if (classified === undefined) {
    const withPassword: Found = { rule: 'secret-in-file', option, place, problem: 'holds a URL with a password in it, where whatever runs as this user can read it', remedy: `take the password out and change it where it is used; set ${variableOf(section, key)} for this role alone` };
    return [...(section === 'sallyport' ? judgeOwn(setting, option) : []), ...(origin === 'file' && urlWithPassword.test(text ?? '') ? [withPassword] : [])];
  }
  const { kind, option: row } = classified;
  const mayHave = needs(role, row, throughApi);
  const instead = mayHave
    ? `set ${variableOf(section === 'default' ? row.section : section, kind === 'value' ? key : row.key)} for this role alone, or hand it over by a systemd credential or \`sallyport exec\``
    : `role ${role} needs none`;
  if (kind === 'command') return [{ rule: 'command', option, place, problem: `names a command that prints ${row.what}, which a task of this user could run too`, remedy: `take it out, for it is never run; ${instead}` }];
  if (kind === 'backend') return [{ rule: 'secrets-backend', option, place, problem: `says where a secrets backend has ${row.what}, which a task with that backend's credentials could ask too`, remedy: `take it out, for it is never asked; ${instead}` }];
  if (!holds) return [];
  const undo = { file: 'take the line out', credential: 'do not pass it', exec: 'do not hand it over', variable: `unset ${place}` }[origin];
  const inFile: Found = { rule: 'secret-in-file', option, place, problem: `holds ${row.what}, where whatever runs as this user can read it`, remedy: `take the line out and change the secret where it is used; ${instead}` };
  const wrongRole: Found = { rule: 'wrong-role', option, place, problem: `role ${role} must not have ${row.what}${row.roles.includes(role) ? ', for it goes through the API' : ''}`, remedy: `${undo} for this role; ${whoMay(role, row)}` };
  return [...(origin === 'file' ? [inFile] : []), ...(mayHave ? [] : [wrongRole])];
}

function whoMay(role: Role, { roles: those }: SensitiveOption): string {
  if (those.includes(role)) return 'sallyport.through_api = False says that it opens the database itself';
  return those.length === 0 ? 'none of the roles needs it' : `${those.join(', ')} may have it`;
}

/** A misspelt option would silently do nothing, and a file would excuse itself. */
function judgeOwn({ key, origin, place }: Setting, option: string): Found[] {
  if (key !== 'security_isolation') {
    return Object.hasOwn(sallyportOptions, key) ? [] : [{ rule: 'value', option, place, problem: 'there is no such option', remedy: `the section has ${Object.keys(sallyportOptions).join(', ')}` }];
  }
  return origin !== 'file' ? [] : [{ rule: 'value', option, place, problem: 'is not for files, which would excuse themselves', remedy: `take it out; the caller, or ${variableOf('sallyport', key)}, decides` }];
}
