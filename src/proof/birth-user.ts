/** Whom supervisor and watcher are when root runs the proof; for anyone else, themselves. Not gid 65534, so that a group of its own is seen to be taken on. */
export const birthUser: { readonly uid?: number; readonly gid?: number } = process.geteuid?.() === 0 ? { uid: 65534, gid: 65533 } : {};
