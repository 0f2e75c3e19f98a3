/*
 * Maildirs: names of files that outlive a killed save.  See apply_maildir.h.
 */
#include "apply_maildir.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include <istream-crlf.h>
#include <istream.h>
#include <maildir-filename.h>
#include <maildir-storage.h>
#include <maildir-uidlist.h>

#include <mbj/message.h>

#include "apply_origin.h"
#include "uidlist.h"

/* Of a file's name, which is no GUID of ours then. */
#define KEPT_PREFIX "mbj-kept."

/* Of a file that Dovecot makes. */
struct sizes {
	uoff_t size;
	uoff_t bares; /* LF without CR */
	unsigned char last;
};

bool maildir_is(const struct mailbox *box)
{
	return strcmp(box->storage->name, "maildir") == 0;
}

static void sizes_add(struct sizes *sizes, const unsigned char *data,
		      size_t size)
{
	for (size_t i = 0; i < size; i++) {
		sizes->bares += data[i] == '\n' && sizes->last != '\r';
		sizes->last = data[i];
	}
	sizes->size += size;
}

/*
 * Dovecot takes a GUID for the file's name where it has the size of the file
 * and that with CRLF line ends, as it finds them (maildir-save.c); else it
 * makes a name, and remembers the GUID.
 */
const char *maildir_guid(struct mailbox *box, const struct mbj_message *message,
			 struct istream *input)
{
	struct istream *saved = box->storage->set->mail_save_crlf
					? i_stream_create_crlf(input)
					: i_stream_create_lf(input);
	uoff_t begin = input->v_offset;
	struct sizes sizes = {.size = 0};
	char guid[APPLY_GUID_SIZE];
	const unsigned char *data;
	size_t count;
	bool is_read;

	while (i_stream_read_more(saved, &data, &count) > 0) {
		sizes_add(&sizes, data, count);
		i_stream_skip(saved, count);
	}
	is_read = saved->stream_errno == 0;
	i_stream_unref(&saved);
	if (!is_read)
		return NULL;
	i_stream_seek(input, begin);
	apply_guid(&message->blob, guid);
	/* A mailbox can have the same message twice, and a name only once. */
	return t_strdup_printf("%s.%u,S=%" PRIuUOFF_T ",W=%" PRIuUOFF_T, guid,
			       message->uid, sizes.size,
			       sizes.size + sizes.bares);
}

bool maildir_name_has_sizes(const char *name)
{
	uoff_t size;

	return maildir_filename_get_size(name, MAILDIR_EXTRA_FILE_SIZE,
					 &size) &&
	       maildir_filename_get_size(name, MAILDIR_EXTRA_VIRTUAL_SIZE,
					 &size);
}

static struct maildir_uidlist *uidlist_of(struct mailbox *box)
{
	struct maildir_mailbox *maildir = MAILDIR_MAILBOX(box);

	return maildir->uidlist;
}

/* A run of ours may have made it, whatever Dovecot named it by. */
static bool file_is_ours(const struct apply_note *note, const char *name)
{
	const char *plain = t_strcut(name, MAILDIR_INFO_SEP);

	return apply_guid_is_ours(plain) ||
	       (note_has_guid(note, plain) && maildir_name_has_sizes(plain)) ||
	       note_has_name(note, plain);
}

static int file_tidy(const struct apply_note *note, struct mailbox *box,
		     const char *dir, const char *name, bool is_in_doubt)
{
	const char *path = t_strdup_printf("%s/%s", dir, name);
	const char *kept = t_strdup_printf("%s/" KEPT_PREFIX "%s", dir, name);

	if (!file_is_ours(note, name) ||
	    maildir_uidlist_get_full_filename(uidlist_of(box), name) != NULL ||
	    (is_in_doubt ? rename(path, kept) : unlink(path)) == 0 ||
	    errno == ENOENT)
		return 0;
	mailbox_set_critical(box, "%s(%s) failed: %s",
			     is_in_doubt ? "rename" : "unlink", path,
			     strerror(errno));
	return -1;
}

static int dir_tidy(const struct apply_note *note, struct mailbox *box,
		    const char *under, bool is_in_doubt)
{
	const char *path =
		t_strdup_printf("%s/%s", mailbox_get_path(box), under);
	DIR *dir = opendir(path);
	struct dirent *entry;
	int ret = 0;

	if (dir == NULL && errno == ENOENT)
		return 0;
	if (dir == NULL) {
		mailbox_set_critical(box, "opendir(%s) failed: %s", path,
				     strerror(errno));
		return -1;
	}
	errno = 0;
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		T_BEGIN
		{
			ret = file_tidy(note, box, path, entry->d_name,
					is_in_doubt);
		}
		T_END;
		errno = 0;
	}
	if (ret == 0 && errno != 0) {
		mailbox_set_critical(box, "readdir(%s) failed: %s", path,
				     strerror(errno));
		ret = -1;
	}
	(void)closedir(dir);
	return ret;
}

/* Who gives UIDs has the list's lock. */
int maildir_tidy(struct apply *apply, struct mailbox *box)
{
	const struct known_box *known = NULL;
	struct maildir_uidlist *uidlist;
	bool is_in_doubt;
	struct uidlist_head head;
	int ret;

	if (!maildir_is(box))
		return 0;
	uidlist = uidlist_of(box);
	if (maildir_uidlist_lock(uidlist) <= 0)
		return -1;
	if (uidlist_head(box, &head))
		known = known_find(&apply->known, head.guid);
	if (known == NULL) {
		maildir_uidlist_unlock(uidlist);
		return 0;
	}
	is_in_doubt = known->doubt == KNOWN_DOUBT_ALL;
	ret = maildir_uidlist_refresh(uidlist) < 0 ||
			      dir_tidy(&apply->note, box, "cur", is_in_doubt) <
				      0 ||
			      dir_tidy(&apply->note, box, "new", is_in_doubt) <
				      0
		      ? -1
		      : 0;
	maildir_uidlist_unlock(uidlist);
	return ret;
}

/* Under the list's lock nobody gives a UID; Dovecot's own lock is one more. */
int maildir_update_anew(struct mailbox *box,
			const struct mailbox_update *update)
{
	struct maildir_uidlist *uidlist = uidlist_of(box);
	struct mailbox_status status;
	int ret;

	/* Of files that are gone by now the list has a line before this. */
	if (mailbox_sync(box, MAILBOX_SYNC_FLAG_FULL_READ) < 0)
		return -1;
	mailbox_get_open_status(box, STATUS_MESSAGES, &status);
	if (status.messages > 0)
		return mailbox_update(box, update);
	if (maildir_uidlist_lock(uidlist) <= 0)
		return -1;
	maildir_uidlist_set_next_uid(uidlist, 1, TRUE);
	ret = mailbox_update(box, update);
	maildir_uidlist_unlock(uidlist);
	return ret;
}
