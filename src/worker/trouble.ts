/** Errors of system calls that say nothing of what was to be done: no descriptors, memory or room on the disk, or no more of it for this process. It may go better later. */
const codes: ReadonlySet<unknown> = new Set(['EAGAIN', 'EDQUOT', 'EFBIG', 'EMFILE', 'ENFILE', 'ENOMEM', 'ENOSPC', 'EROFS']);

/** Whether it is this host's trouble, and so nobody's fault who wants something done. */
export const isOfHost = (error: unknown): boolean => codes.has((error as NodeJS.ErrnoException | null | undefined)?.code);
