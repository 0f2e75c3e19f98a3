/*
 * Being told that files of a directory are written or made.  Where the kernel
 * does not tell (no inotify left, no such directory yet), fd is -1, and the
 * caller looks by itself now and then.
 *
 * Threads: one.
 */
#ifndef MBJ_WATCH_H
#define MBJ_WATCH_H

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_watch {
	int fd; /* readable: something was written; -1: nobody tells */
};

#define MBJ_WATCH_CLOSED ((struct mbj_watch){.fd = -1})

/* What is written in dir from now on is told. */
void mbj_watch_open(struct mbj_watch *watch, const char *dir);
void mbj_watch_drain(struct mbj_watch *watch);
void mbj_watch_close(struct mbj_watch *watch);

#ifdef __cplusplus
}
#endif

#endif
