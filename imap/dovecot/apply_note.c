/*
 * What a killed run left half done.  See apply_note.h.
 *
 * All of it is written at once, each time, and what is cut off behind it may
 * come later: so of each kind the first line counts, and one without an end is
 * none.
 */
#include "apply_note.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/sys.h>

#include "apply.h"

#define SAVING "saving"
#define MAKING "making "

enum { NOTE_MAX = 64 << 10 };

static int note_fail(struct apply *apply, const char *what)
{
	return apply_fail(apply, "cannot %s %s: %s", what, apply->note.path,
			  strerror(errno));
}

static void note_parse(struct apply *apply, char *text)
{
	struct apply_note *note = &apply->note;

	for (char *end; (end = strchr(text, '\n')) != NULL; text = end + 1) {
		*end = '\0';
		if (strcmp(text, SAVING) == 0)
			note->is_untidy = true;
		else if (note->making == NULL && str_begins(text, MAKING))
			note->making = p_strdup(apply->user->pool,
						text + strlen(MAKING));
	}
}

static int note_read(struct apply *apply)
{
	char *text = t_malloc0(NOTE_MAX + 1);

	if (pread(apply->note.fd, text, NOTE_MAX, 0) < 0)
		return note_fail(apply, "read");
	apply->note.has_text = text[0] != '\0';
	note_parse(apply, text);
	return 0;
}

int note_open(struct apply *apply, const char *known_path)
{
	struct apply_note *note = &apply->note;

	note->path = p_strconcat(apply->user->pool, known_path, ".lock", NULL);
	note->fd = open(note->path, O_RDWR | O_CLOEXEC);
	if (note->fd == -1 && errno == ENOENT) {
		note->fd = open(note->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		note->is_new = true;
	}
	if (note->fd == -1)
		return note_fail(apply, "open");
	if (flock(note->fd, LOCK_EX | LOCK_NB) < 0)
		return apply_fail(apply,
				  "%s is locked: another apply of this "
				  "user runs",
				  note->path);
	return note_read(apply);
}

void note_close(struct apply_note *note)
{
	if (note->fd != -1)
		i_close_fd(&note->fd);
}

/* What holds at this moment, and the mailbox that is being made, or NULL. */
static int note_write(struct apply *apply, const char *making)
{
	struct apply_note *note = &apply->note;
	const char *text =
		t_strconcat(note->is_untidy || note->is_saving ? SAVING "\n"
							       : "",
			    making != NULL ? MAKING : "",
			    making != NULL ? making : "",
			    making != NULL ? "\n" : "", NULL);
	size_t n = strlen(text);

	if (n == 0 && !note->has_text)
		return 0;
	note->has_text = n > 0;
	if (pwrite(note->fd, text, n, 0) != (ssize_t)n ||
	    ftruncate(note->fd, (off_t)n) < 0)
		return note_fail(apply, "write");
	return 0;
}

int note_saving(struct apply *apply)
{
	struct apply_note *note = &apply->note;
	struct mbj_error err;

	if (note->is_saving)
		return 0;
	note->is_saving = true;
	if (note_write(apply, NULL) < 0)
		return -1;
	if (fdatasync(note->fd) < 0)
		return note_fail(apply, "write");
	/* Its entry, too. */
	if (note->is_new &&
	    mbj_dir_sync(mbj_sys_posix(),
			 t_strdup_until(note->path, strrchr(note->path, '/')),
			 &err) < 0)
		return apply_fail(apply, "%s", err.message);
	return 0;
}

int note_tidied(struct apply *apply)
{
	if (!apply->note.is_untidy)
		return 0;
	apply->note.is_untidy = false;
	return note_write(apply, apply->note.making);
}

int note_making(struct apply *apply, const char *vname)
{
	return note_write(apply, vname);
}

int note_end(struct apply *apply)
{
	struct apply_note *note = &apply->note;

	if (!note->is_left)
		note->is_saving = false;
	return note_write(apply, NULL);
}
