/*
 * inotify(7) on a directory; see mbj/watch.h.
 */
#include <mbj/watch.h>

#include <sys/inotify.h>
#include <unistd.h>

enum { EVENTS_SIZE = 4096 };

void mbj_watch_open(struct mbj_watch *watch, const char *dir)
{
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	/* The directory, as the file in question may not be there yet. */
	if (watch->fd >= 0 &&
	    inotify_add_watch(watch->fd, dir, IN_MODIFY | IN_CREATE) < 0)
		mbj_watch_close(watch);
}

void mbj_watch_drain(struct mbj_watch *watch)
{
	char events[EVENTS_SIZE];

	if (watch->fd < 0)
		return;
	while (read(watch->fd, events, sizeof(events)) > 0)
		;
}

void mbj_watch_close(struct mbj_watch *watch)
{
	if (watch->fd >= 0)
		(void)close(watch->fd);
	watch->fd = -1;
}
