/*
 * inotify(7) on a journal's folder; see stream_watch.h.
 */
#include "stream_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <mbj/sys.h>

enum { EVENTS_SIZE = 4096 };

void stream_watch_open(struct stream_watch *watch, const char *dir)
{
	char path[MBJ_PATH_TEXT_MAX];

	watch->fd = -1;
	if (mbj_path_join(path, dir, STREAM_JOURNAL_NAME, NULL) < 0)
		return;
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	/* The folder, as "published" may not be there yet. */
	if (watch->fd >= 0 &&
	    inotify_add_watch(watch->fd, path, IN_MODIFY | IN_CREATE) < 0)
		stream_watch_close(watch);
}

void stream_watch_drain(struct stream_watch *watch)
{
	char events[EVENTS_SIZE];

	if (watch->fd < 0)
		return;
	while (read(watch->fd, events, sizeof(events)) > 0)
		;
}

void stream_watch_close(struct stream_watch *watch)
{
	if (watch->fd >= 0)
		(void)close(watch->fd);
	watch->fd = -1;
}
