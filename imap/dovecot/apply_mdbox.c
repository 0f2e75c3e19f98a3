/*
 * Files of mdbox that outlive a killed save.  See apply_mdbox.h.
 *
 * Who appends to a file holds its lock from the first byte on, and the map's
 * from when a new file gets its name: with both held a tail is nobody's.
 */
#include "apply_mdbox.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hex-dec.h>
#include <mdbox-file.h>
#include <mdbox-map.h>
#include <mdbox-storage-rebuild.h>
#include <mdbox-storage.h>

#include "apply_origin.h"

enum { METADATA_MAX = 4096 };

bool mdbox_is(const struct mailbox *box)
{
	return strcmp(box->storage->name, MDBOX_STORAGE_NAME) == 0;
}

static int storage_fail(struct apply *apply, struct mdbox_storage *storage,
			const char *what)
{
	return apply_fail(apply, "cannot %s %s: %s", what, storage->storage_dir,
			  mail_storage_get_last_internal_error(
				  &storage->storage.storage, NULL));
}

/* ------------------------------------------------------------------ tails */

/* GUID of the message at an offset that moves behind it, NULL: not whole. */
static const char *message_guid(int fd, uoff_t *at)
{
	struct dbox_message_header head;
	char text[METADATA_MAX];
	const char *guid = NULL, *const * line;
	size_t skip = strlen(DBOX_MAGIC_POST);
	char *end;
	ssize_t n;
	uoff_t metadata;

	if (pread(fd, &head, sizeof(head), (off_t)*at) != sizeof(head) ||
	    memcmp(head.magic_pre, DBOX_MAGIC_PRE, sizeof(head.magic_pre)) != 0)
		return NULL;
	metadata =
		*at + sizeof(head) +
		hex2dec(head.message_size_hex, sizeof(head.message_size_hex));
	if (metadata > (uoff_t)INT64_MAX)
		return NULL;
	n = pread(fd, text, sizeof(text) - 1, (off_t)metadata);
	if (n < (ssize_t)skip || memcmp(text, DBOX_MAGIC_POST, skip) != 0)
		return NULL;
	text[n] = '\0';
	end = strstr(text + skip, "\n\n");
	if (end == NULL)
		return NULL;
	*end = '\0';
	for (line = t_strsplit(text + skip, "\n"); *line != NULL; line++)
		if (**line == DBOX_METADATA_GUID)
			guid = *line + 1;
	*at = metadata + (uoff_t)(end - text) + 2;
	return guid != NULL ? guid : "";
}

static bool tail_is_ours(const struct apply_note *note, int fd, uoff_t at)
{
	bool is_ours = true, is_whole = true;

	while (is_ours && is_whole) {
		T_BEGIN
		{
			const char *guid = message_guid(fd, &at);

			is_whole = guid != NULL;
			is_ours = !is_whole || apply_guid_is_ours(guid) ||
				  note_has_guid(note, guid);
		}
		T_END;
	}
	return is_ours;
}

/* The end of what the map knows of a file, 0: nothing.  Returns: -1. */
static int known_end(struct mdbox_storage *storage, uint32_t id,
		     uoff_t *ret_end)
{
	ARRAY_TYPE(mdbox_map_file_msg) messages;
	const struct mdbox_map_file_msg *message;

	*ret_end = 0;
	t_array_init(&messages, 64);
	if (mdbox_map_get_file_msgs(storage->map, id, &messages) < 0)
		return -1;
	array_foreach(&messages, message)
	{
		struct mdbox_map_mail_index_record record;
		uint16_t references;

		if (mdbox_map_lookup_full(storage->map, message->map_uid,
					  &record, &references) <= 0)
			return -1;
		*ret_end = I_MAX(*ret_end, (uoff_t)record.offset + record.size);
	}
	return 0;
}

/* Its lock is held. */
static int tail_cut(const struct apply_note *note,
		    struct mdbox_storage *storage, struct dbox_file *file,
		    uint32_t id)
{
	struct stat st;
	uoff_t end;

	if (known_end(storage, id, &end) < 0 || fstat(file->fd, &st) < 0)
		return -1;
	if ((uoff_t)st.st_size <= end ||
	    !tail_is_ours(note, file->fd,
			  end != 0 ? end : file->file_header_size))
		return 0;
	/* One without any message is none. */
	if (end == 0)
		return dbox_file_unlink(file) < 0 ? -1 : 0;
	if (ftruncate(file->fd, (off_t)end) < 0) {
		dbox_file_set_syscall_error(file, "ftruncate()");
		return -1;
	}
	return 0;
}

static int file_tidy(const struct apply_note *note,
		     struct mdbox_storage *storage, uint32_t id)
{
	struct dbox_file *file = mdbox_file_init(storage, id);
	bool is_deleted;
	int ret = dbox_file_open(file, &is_deleted);

	/* A header that is not whole is Dovecot's to mend. */
	if (ret > 0 && !is_deleted) {
		ret = dbox_file_try_lock(file);
		if (ret > 0) {
			ret = tail_cut(note, storage, file, id);
			dbox_file_unlock(file);
		}
		dbox_file_close(file);
	}
	dbox_file_unref(&file);
	return ret < 0 ? -1 : 0;
}

static int files_tidy(const struct apply_note *note,
		      struct mdbox_storage *storage)
{
	DIR *dir = opendir(storage->storage_dir);
	struct dirent *entry;
	int ret = 0;

	if (dir == NULL)
		return errno == ENOENT ? 0 : -1;
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		uint32_t id;

		if (!str_begins(entry->d_name, MDBOX_MAIL_FILE_PREFIX) ||
		    str_to_uint32(entry->d_name +
					  strlen(MDBOX_MAIL_FILE_PREFIX),
				  &id) < 0)
			continue;
		T_BEGIN
		{
			ret = file_tidy(note, storage, id);
		}
		T_END;
	}
	(void)closedir(dir);
	return ret;
}

static int storage_tidy(struct apply *apply, struct mdbox_storage *storage)
{
	struct mdbox_map_atomic_context *atomic;
	int ret = mdbox_map_open(storage->map);

	if (ret == 0)
		return 0; /* there was no save */
	if (ret < 0)
		return storage_fail(apply, storage, "open");
	atomic = mdbox_map_atomic_begin(storage->map);
	ret = mdbox_map_atomic_lock(atomic, "mbj apply");
	if (ret == 0)
		ret = mdbox_map_refresh(storage->map);
	/* A map that was damaged may know too little. */
	if (ret == 0 && !mdbox_map_is_fscked(storage->map))
		ret = files_tidy(&apply->note, storage);
	if (ret == 0)
		mdbox_map_atomic_set_success(atomic);
	if (mdbox_map_atomic_finish(&atomic) < 0)
		ret = -1;
	return ret < 0 ? storage_fail(apply, storage, "tidy") : 0;
}

/*
 * What is in tails may be nowhere else: it comes into its mailboxes, before
 * anything is told to be the journal's from some UID on.
 */
static int storage_find(struct apply *apply, struct mdbox_storage *storage)
{
	if (mdbox_storage_rebuild(storage) < 0)
		return storage_fail(apply, storage, "make the indexes of");
	return 0;
}

int mdbox_tidy(struct apply *apply)
{
	struct mail_storage *storage = apply->user->storages;
	int ret = 0;

	for (; apply->note.is_untidy && ret == 0 && storage != NULL;
	     storage = storage->next)
		if (strcmp(storage->name, MDBOX_STORAGE_NAME) == 0)
			ret = known_is_in_doubt(&apply->known)
				      ? storage_find(apply,
						     MDBOX_STORAGE(storage))
				      : storage_tidy(apply,
						     MDBOX_STORAGE(storage));
	return ret;
}

/* ---------------------------------------------------------------- rebuilds */

uint32_t mdbox_rebuilds(struct apply *apply)
{
	struct mail_storage *storage = apply->user->storages;
	uint32_t count = 0;

	for (; storage != NULL; storage = storage->next) {
		struct mdbox_storage *mdbox;

		if (strcmp(storage->name, MDBOX_STORAGE_NAME) != 0)
			continue;
		mdbox = MDBOX_STORAGE(storage);
		if (mdbox->corrupted_rebuild_count != 0 &&
		    mdbox_storage_rebuild(mdbox) < 0)
			(void)storage_fail(apply, mdbox, "make the indexes of");
		if (mdbox_map_open(mdbox->map) > 0)
			count += mdbox_map_get_rebuild_count(mdbox->map);
	}
	return count;
}
