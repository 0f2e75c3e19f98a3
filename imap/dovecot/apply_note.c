/*
 * What a killed run left half done.  See apply_note.h.
 *
 * All of it is written at once, each time, and what is cut off behind it may
 * come later: so of saving and making the first line counts, one without an end
 * is none, and what was noted of messages before stays true.
 */
#include "apply_note.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <imap-seqset.h>
#include <imap-util.h>

#include <mbj/sys.h>

#include "apply.h"

#define SAVING "saving"
#define MAKING "making "
#define GUID   "guid "
#define UIDS   "uids "
#define NAMES  "names "

enum {
	NOTE_MAX = 1 << 20,
	/* Behind that a name is another process's of the same number. */
	NAMES_SECONDS = 3600,
};

static int note_fail(struct apply *apply, const char *what)
{
	return apply_fail(apply, "cannot %s %s: %s", what, apply->note.path,
			  strerror(errno));
}

/* ----------------------------------------------------------------- reading */

static bool name_parse(const char *text, struct note_name *ret_name)
{
	const char *end;

	if (str_parse_uint64(text, &ret_name->seconds, &end) < 0 ||
	    !str_begins(end, ".M") ||
	    str_parse_uint64(end + 2, &ret_name->useconds, &end) < 0 ||
	    *end != 'P')
		return false;
	ret_name->maker = t_strcut(end + 1, ',');
	return true;
}

/*
 * Its process is gone, and had the lock as long as it was not: what has a name
 * of after the first look at the note is another's, of the same number.
 */
static void names_parse(struct apply *apply, const char *text)
{
	struct apply_note *note = &apply->note;
	const char *until = strchr(text, ' ');
	struct note_name name;

	if (!name_parse(t_strcut(text, ' '), &name))
		return;
	if (until == NULL || str_to_uint64(until + 1, &name.until) < 0)
		name.until = (uint64_t)time(NULL);
	name.maker = p_strdup(apply->user->pool, name.maker);
	array_push_back(&note->names, &name);
	str_printfa(note->left, NAMES "%s %" PRIu64 "\n", t_strcut(text, ' '),
		    name.until);
}

static void uids_parse(struct apply *apply, const char *text)
{
	const char *const *words = t_strsplit(text, " ");
	struct note_uids noted = {.uidvalidity = 0};

	p_array_init(&noted.uids, apply->user->pool, 8);
	if (str_array_length(words) != 3 ||
	    !mbj_id_parse(mbj_bytes_str(words[0]), &noted.mailbox) ||
	    str_to_uint32(words[1], &noted.uidvalidity) < 0 ||
	    imap_seq_set_nostar_parse(words[2], &noted.uids) < 0)
		return;
	array_push_back(&apply->note.uids, &noted);
}

static void message_parse(struct apply *apply, const char *line)
{
	struct apply_note *note = &apply->note;
	const char *noted, *guid;

	if (str_begins(line, NAMES)) {
		names_parse(apply, line + strlen(NAMES));
	} else if (str_begins(line, UIDS)) {
		uids_parse(apply, line + strlen(UIDS));
	} else if (str_begins(line, GUID)) {
		noted = p_strdup(apply->user->pool, line + strlen(GUID));
		guid = strchr(noted, ' ');
		if (guid == NULL)
			return;
		hash_table_update(note->messages, noted, noted);
		hash_table_update(note->guids, guid + 1, noted);
		str_printfa(note->left, "%s\n", line);
	}
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
		else
			T_BEGIN
			{
				message_parse(apply, text);
			}
		T_END;
	}
}

static int note_read(struct apply *apply)
{
	struct apply_note *note = &apply->note;
	struct stat st;
	size_t size;
	ssize_t n;
	char *text;

	if (fstat(note->fd, &st) < 0)
		return note_fail(apply, "look at");
	size = (size_t)I_MIN(st.st_size, NOTE_MAX);
	text = i_malloc(size + 1);
	n = pread(note->fd, text, size, 0);
	if (n < 0)
		(void)note_fail(apply, "read");
	note->left = str_new(default_pool, 256);
	note->coming = str_new(default_pool, 256);
	hash_table_create(&note->guids, default_pool, 0, str_hash, strcmp);
	hash_table_create(&note->messages, default_pool, 0, str_hash, strcmp);
	p_array_init(&note->names, apply->user->pool, 4);
	p_array_init(&note->uids, apply->user->pool, 4);
	note->has_text = n > 0;
	if (n > 0)
		note_parse(apply, text);
	i_free(text);
	return n < 0 ? -1 : 0;
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
	str_free(&note->left);
	str_free(&note->coming);
	if (hash_table_is_created(note->guids))
		hash_table_destroy(&note->guids);
	if (hash_table_is_created(note->messages))
		hash_table_destroy(&note->messages);
}

/* On the data stack: what a line says of a message. */
static const char *message_text(struct mbj_id mailbox, const char *guid)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(mailbox, id);
	return t_strdup_printf("%s %s", id, guid);
}

bool note_has_message(const struct apply_note *note, struct mbj_id mailbox,
		      const char *guid)
{
	return hash_table_lookup(note->messages, message_text(mailbox, guid)) !=
	       NULL;
}

bool note_has_guid(const struct apply_note *note, const char *guid)
{
	return hash_table_lookup(note->guids, guid) != NULL;
}

/* Of one process names rise with time, by one microsecond at least. */
static bool name_is_behind(const struct note_name *name,
			   const struct note_name *first)
{
	return (name->seconds > first->seconds ||
		(name->seconds == first->seconds &&
		 name->useconds > first->useconds)) &&
	       name->seconds - first->seconds <= NAMES_SECONDS &&
	       name->seconds <= first->until &&
	       strcmp(name->maker, first->maker) == 0;
}

bool note_has_name(const struct apply_note *note, const char *text)
{
	const struct note_name *first;
	struct note_name name;

	if (!name_parse(text, &name))
		return false;
	array_foreach(&note->names, first)
	{
		if (name_is_behind(&name, first))
			return true;
	}
	return false;
}

bool note_has_uid(const struct apply_note *note, struct mbj_id mailbox,
		  uint32_t uidvalidity, uint32_t uid)
{
	const struct note_uids *noted;

	array_foreach(&note->uids, noted)
	{
		if (mbj_id_equal(noted->mailbox, mailbox) &&
		    noted->uidvalidity == uidvalidity &&
		    seq_range_exists(&noted->uids, uid))
			return true;
	}
	return false;
}

/* ----------------------------------------------------------------- writing */

static void uids_print(const struct apply_note *note, string_t *text)
{
	const struct note_uids *noted;
	char id[MBJ_ID_TEXT_SIZE];

	array_foreach(&note->uids, noted)
	{
		mbj_id_print(noted->mailbox, id);
		str_printfa(text, UIDS "%s %u ", id, noted->uidvalidity);
		imap_write_seq_range(text, &noted->uids);
		str_append_c(text, '\n');
	}
}

/* What holds at this moment, and the mailbox that is being made, or NULL. */
static int note_write(struct apply *apply, const char *making)
{
	struct apply_note *note = &apply->note;
	string_t *text = str_new(default_pool, 256);
	size_t n;
	bool is_written;

	if (note->is_untidy || note->is_saving)
		str_append(text, SAVING "\n");
	if (making != NULL)
		str_printfa(text, MAKING "%s\n", making);
	uids_print(note, text);
	str_append_str(text, note->left);
	str_append_str(text, note->coming);
	n = str_len(text);
	is_written = (n == 0 && !note->has_text) ||
		     (pwrite(note->fd, str_data(text), n, 0) == (ssize_t)n &&
		      ftruncate(note->fd, (off_t)n) == 0);
	note->has_text = n > 0;
	str_free(&text);
	return is_written ? 0 : note_fail(apply, "write");
}

static int note_sync(struct apply *apply)
{
	struct apply_note *note = &apply->note;
	struct mbj_error err;

	if (fdatasync(note->fd) < 0)
		return note_fail(apply, "write");
	/* Its entry, too. */
	if (note->is_new &&
	    mbj_dir_sync(mbj_sys_posix(),
			 t_strdup_until(note->path, strrchr(note->path, '/')),
			 &err) < 0)
		return apply_fail(apply, "%s", err.message);
	note->is_new = false;
	return 0;
}

void note_begin(struct apply_note *note)
{
	str_truncate(note->coming, 0);
}

void note_message(struct apply_note *note, struct mbj_id mailbox,
		  const char *guid)
{
	str_printfa(note->coming, GUID "%s\n", message_text(mailbox, guid));
}

void note_names(struct apply_note *note, const char *name)
{
	str_printfa(note->coming, NAMES "%s\n", name);
}

/*
 * What is too much to be read again is forgotten, the oldest first: of that a
 * message that Dovecot listed meanwhile, and the journal has no more, is kept.
 */
int note_come(struct apply *apply, bool is_untidy)
{
	struct apply_note *note = &apply->note;

	note->is_saving |= is_untidy;
	if (str_len(note->left) + str_len(note->coming) > NOTE_MAX / 2)
		str_truncate(note->left, 0);
	if (note_write(apply, NULL) < 0)
		return -1;
	return is_untidy ? note_sync(apply) : 0;
}

void note_failed(struct apply_note *note)
{
	note->is_left = true;
	str_append_str(note->left, note->coming);
	str_truncate(note->coming, 0);
}

int note_uids(struct apply *apply, struct mbj_id mailbox, uint32_t uidvalidity,
	      const ARRAY_TYPE(seq_range) * uids)
{
	struct note_uids noted = {.mailbox = mailbox,
				  .uidvalidity = uidvalidity};

	p_array_init(&noted.uids, apply->user->pool, array_count(uids));
	array_append_array(&noted.uids, uids);
	array_push_back(&apply->note.uids, &noted);
	return note_write(apply, NULL) < 0 ? -1 : note_sync(apply);
}

int note_uids_forget(struct apply *apply, struct mbj_id mailbox)
{
	struct apply_note *note = &apply->note;
	unsigned int before = array_count(&note->uids);

	for (unsigned int i = before; i-- > 0;) {
		const struct note_uids *noted = array_idx(&note->uids, i);

		if (mbj_id_equal(noted->mailbox, mailbox))
			array_delete(&note->uids, i, 1);
	}
	if (array_count(&note->uids) == before)
		return 0;
	return note_write(apply, NULL) < 0 ? -1 : note_sync(apply);
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

/* What Dovecot may have listed of it itself is gone where nothing failed. */
int note_end(struct apply *apply)
{
	struct apply_note *note = &apply->note;

	str_truncate(note->coming, 0);
	if (!note->is_left) {
		note->is_saving = false;
		if (apply->failures == 0)
			str_truncate(note->left, 0);
	}
	if (apply->failures == 0)
		array_clear(&note->uids);
	return note_write(apply, NULL);
}
