/*
 * Processes that we begin and end: with default signals, standard error ours,
 * no descriptors but those that they are given.
 */
#ifndef MBJ_CLI_PROCESS_H
#define MBJ_CLI_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

/* A descriptor of ours, and the number that it has there. */
struct process_fd {
	int ours;
	int theirs;
};

/* 0, or an errno.  arguments[0] is a word for itself, NULL is the last. */
int process_begin(const char *path, const char *const *arguments,
		  const struct process_fd *fds, size_t fd_count,
		  pid_t *ret_process);
/* Has it ended?  Then it is gone, and its number another's. */
int process_is_gone(pid_t process);
/*
 * Wait until it is gone: after a moment it is asked to end, after another one
 * killed.
 */
void process_end(pid_t process);
/* Kill it now, and wait until it is gone. */
void process_kill(pid_t process);

#endif
