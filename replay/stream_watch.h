/*
 * Being told that a journal grows: its owner writes "published" after each
 * batch.  Where the kernel does not tell (no inotify left), fd is -1, and the
 * caller looks by itself now and then.  Private to replay/.
 *
 * Threads: one.
 */
#ifndef MBJ_STREAM_WATCH_H
#define MBJ_STREAM_WATCH_H

#define STREAM_JOURNAL_NAME "journal" /* in a store (docs/FORMAT.md) */

struct stream_watch {
	int fd; /* readable: something was written; -1: nobody tells */
};

/* dir: the store's.  What is written from now on is told. */
void stream_watch_open(struct stream_watch *watch, const char *dir);
void stream_watch_drain(struct stream_watch *watch);
void stream_watch_close(struct stream_watch *watch);

#endif
