/*
 * The ends of a Maildir's list of messages.  See uidlist.h.
 */
#include "uidlist.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mailbox-list-index.h>
#include <maildir-storage.h>
#include <maildir-uidlist.h>

enum {
	HEAD_SIZE = 1024,
	TAIL_SIZE = 16 << 10,
};

/* Of this version, which Dovecot writes since 1.1; others are left to it. */
#define HEAD_VERSION "3 "

static const char *list_path(struct mailbox *box)
{
	const char *dir;

	if (strcmp(box->storage->name, MAILDIR_STORAGE_NAME) != 0 ||
	    mailbox_get_path_to(box, MAILBOX_LIST_PATH_TYPE_CONTROL, &dir) <= 0)
		return NULL;
	return t_strconcat(dir, "/" MAILDIR_UIDLIST_NAME, NULL);
}

/* "V... N... G..." */
static bool head_parse(const char *const *words, struct uidlist_head *ret_head)
{
	struct uidlist_head head = {.uidvalidity = 0};
	bool is_good = true;

	for (; *words != NULL && is_good; words++)
		if (**words == 'G')
			is_good = mbj_id_parse(mbj_bytes_str(*words + 1),
					       &head.guid);
		else if (**words == 'V')
			is_good = str_to_uint32(*words + 1,
						&head.uidvalidity) == 0;
	*ret_head = head;
	return is_good && head.uidvalidity != 0 && !mbj_id_is_root(head.guid);
}

/* As much of a file as fits, from so many bytes before its end, or NULL. */
static char *file_read(const char *path, size_t size, bool is_tail)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	struct stat st;
	off_t from = 0;
	ssize_t n;

	if (fd < 0)
		return NULL;
	if (!is_tail || fstat(fd, &st) == 0) {
		text = t_malloc_no0(size + 1);
		if (is_tail && st.st_size > (off_t)size)
			from = st.st_size - (off_t)size;
		n = pread(fd, text, size, from);
		text[n > 0 ? n : 0] = '\0';
	}
	(void)close(fd);
	return text;
}

bool uidlist_head(struct mailbox *box, struct uidlist_head *ret_head)
{
	const char *path = list_path(box);
	char *line = path == NULL ? NULL : file_read(path, HEAD_SIZE, false);
	char *end = line == NULL ? NULL : strchr(line, '\n');

	if (end == NULL)
		return false;
	*end = '\0';
	return str_begins(line, HEAD_VERSION) &&
	       head_parse(t_strsplit(line + strlen(HEAD_VERSION), " "),
			  ret_head);
}

int box_guid_ask(struct mailbox *box, struct mbj_id *ret_guid)
{
	struct mailbox_metadata metadata;

	if (!box->opened && INDEX_LIST_CONTEXT(box->list) != NULL &&
	    mailbox_list_index_refresh(box->list) < 0 && mailbox_open(box) < 0)
		return -1;
	if (mailbox_get_metadata(box, MAILBOX_METADATA_GUID, &metadata) < 0)
		return -1;
	memcpy(ret_guid->b, metadata.guid, sizeof(ret_guid->b));
	return 0;
}

int box_head(struct mailbox *box, struct uidlist_head *ret_head)
{
	if (uidlist_head(box, ret_head))
		return 0;
	ret_head->uidvalidity = 0;
	return box_guid_ask(box, &ret_head->guid);
}

bool box_is_behind(struct mailbox *box, const struct uidlist_head *head)
{
	uint32_t value = mail_index_get_header(box->view)->uid_validity;

	return value == 0 ||
	       (head->uidvalidity != 0 && head->uidvalidity != value);
}

char *uidlist_end(struct mailbox *box)
{
	const char *path = list_path(box);
	const char *text =
		path == NULL ? NULL : file_read(path, TAIL_SIZE, true);

	/* The head, or what was cut off in front, is no message's. */
	text = text == NULL ? NULL : strchr(text, '\n');
	return i_strdup(text == NULL ? "" : text + 1);
}

/*
 * "UID [KEY...] :NAME", from the last one on: lines are in the order of UIDs.
 * What is behind the last newline may be cut by who writes.  On the data stack.
 */
static char *line_of(const char *end, uint32_t uid)
{
	unsigned long found = ULONG_MAX;
	const char *line, *stop;

	if (strtoul(end, NULL, 10) > uid)
		return NULL;
	stop = strrchr(end, '\n');
	while (stop != NULL && found > uid) {
		for (line = stop; line > end && line[-1] != '\n';)
			line--;
		found = strtoul(line, NULL, 10);
		if (found == uid)
			return t_strdup_noconst(t_strdup_until(line, stop));
		stop = line > end ? line - 1 : NULL;
	}
	return NULL;
}

/* Keys are ended, and the name begins behind them; both on the data stack. */
static const char *name_of(const char *end, uint32_t uid, const char **ret_keys)
{
	char *at = line_of(end, uid);

	if (at == NULL)
		return NULL;
	at += strspn(at, "0123456789");
	*ret_keys = at;
	while (*at == ' ' && at[1] != ':')
		at += strcspn(at + 1, " ") + 1;
	if (*at != ' ' || at[2] == '\0' || strchr(at, '/') != NULL)
		return NULL;
	*at = '\0';
	return at + 2;
}

const char *uidlist_end_name(const char *end, uint32_t uid)
{
	const char *keys;

	return name_of(end, uid, &keys);
}

const char *uidlist_end_guid(const char *end, uint32_t uid)
{
	const char *keys, *name = name_of(end, uid, &keys);

	if (name == NULL)
		return NULL;
	for (const char *const *key = t_strsplit(keys, " "); *key != NULL;
	     key++)
		if (**key == MAILDIR_UIDLIST_REC_EXT_GUID && (*key)[1] != '\0')
			return *key + 1;
	return t_strcut(name, MAILDIR_INFO_SEP);
}
