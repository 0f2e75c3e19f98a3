/*
 * Images: an environment's files as they are at one moment, to be opened as
 * what a crash at that moment would have left.  Whoever reads for long reads an
 * image: a long reading transaction, beside which much is written, is refused
 * in the end (db_past.h).
 *
 * Invariant: an image is only ever opened where all of it was copied.
 *
 * Threads: the writer's.
 */
#include <fcntl.h>

#include "state_priv.h"

enum { IMAGE_NAMES_MAX = 1 << 20, IMAGE_PIECE = 1 << 20 };

struct image {
	const struct mbj_sys *sys;
	const char *from;
	const char *to;
	uint8_t *piece; /* IMAGE_PIECE */
	const struct mbj_halt *halt;
};

/* Files of regions, and marks of ours, are nothing to recover. */
static bool name_is_wanted(const char *name)
{
	return strncmp(name, "__db.", 5) != 0 && strcmp(name, "suspect") != 0;
}

enum mbj_rc mbj_halt_check(const struct mbj_halt *halt, const char *what,
			   struct mbj_error *err)
{
	if (halt == NULL || !halt->is_asked(halt->ctx))
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EBUSY,
			     "%s: given up in the middle, as was asked for",
			     what);
}

static enum mbj_rc bytes_copy(const struct image *image, struct mbj_file *from,
			      struct mbj_file *to, struct mbj_error *err)
{
	uint64_t at = 0;
	size_t got = 0;
	enum mbj_rc rc;

	do {
		rc = mbj_halt_check(image->halt, image->from, err);
		if (rc < 0)
			break;
		rc = mbj_file_read(from, at, image->piece, IMAGE_PIECE, &got,
				   err);
		if (rc == MBJ_OK && got > 0)
			rc = mbj_file_write(to, at, image->piece, got, err);
		at += got;
	} while (rc == MBJ_OK && got > 0);
	return rc;
}

static enum mbj_rc file_copy(const struct image *image, const char *name,
			     struct mbj_error *err)
{
	struct mbj_file from = MBJ_FILE_CLOSED;
	struct mbj_file to = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	char target[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, image->from, name, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(target, image->to, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(image->sys, path, O_RDONLY | O_NOFOLLOW,
				   &from, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(image->sys, target,
				   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
				   &to, err);
	if (rc == MBJ_OK)
		rc = bytes_copy(image, &from, &to, err);
	mbj_file_close(&from);
	mbj_file_close(&to);
	return rc;
}

static enum mbj_rc size_add(const struct image *image, const char *name,
			    uint64_t *size, struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t found = 0;
	enum mbj_rc rc;

	rc = mbj_path_join(path, image->from, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(image->sys, path, O_RDONLY | O_NOFOLLOW,
				   &file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&file, &found, err);
	mbj_file_close(&file);
	*size += found;
	return rc;
}

static enum mbj_rc room_check(const struct image *image,
			      const struct mbj_buf *names, uint64_t room,
			      struct mbj_error *err)
{
	uint64_t size = 0;
	enum mbj_rc rc = MBJ_OK;

	for (const char *name = mbj_names_next(names, NULL);
	     rc == MBJ_OK && name != NULL; name = mbj_names_next(names, name))
		if (name_is_wanted(name))
			rc = size_add(image, name, &size, err);
	if (rc < 0 || size <= room)
		return rc;
	return mbj_error_set(err, MBJ_ENOSPC,
			     "there is no room for a copy of %s, of %llu bytes",
			     image->from, (unsigned long long)size);
}

static enum mbj_rc files_copy(const struct image *image,
			      const struct mbj_buf *names,
			      struct mbj_error *err)
{
	enum mbj_rc rc = mbj_dir_make(image->sys, image->to, err);

	for (const char *name = mbj_names_next(names, NULL);
	     rc == MBJ_OK && name != NULL; name = mbj_names_next(names, name))
		if (name_is_wanted(name))
			rc = file_copy(image, name, err);
	return rc;
}

enum mbj_rc mbj_state_image(struct mbj_state *state, const char *home,
			    uint64_t room, const struct mbj_halt *halt,
			    struct mbj_error *err)
{
	struct image image = {state->sys, state->home, home, NULL, halt};
	struct mbj_buf names;
	enum mbj_rc rc;

	rc = mbj_state_checkpoint(state, true, err);
	if (rc < 0)
		return rc;
	image.piece = mbj_alloc(IMAGE_PIECE);
	if (image.piece == NULL)
		return mbj_error_nomem(err);
	mbj_buf_init(&names, IMAGE_NAMES_MAX);
	rc = mbj_dir_list(image.sys, image.from, &names, err);
	if (rc == MBJ_OK)
		rc = room_check(&image, &names, room, err);
	if (rc == MBJ_OK)
		rc = files_copy(&image, &names, err);
	mbj_buf_done(&names);
	mbj_free(image.piece);
	return rc;
}
