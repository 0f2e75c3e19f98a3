/*
 * What runs of apply know of a user's mailboxes.  See apply.h.
 *
 * The first line of the file is applied.h's.  Any other is a mailbox: its id
 * and the numbers of struct known_box, in their order but for modseq, which is
 * last.  Where the file is lost, mailboxes that
 * the journal deleted meanwhile are taken for the user's own, and kept.
 */
#include "apply.h"

#include <fcntl.h>

#include <istream.h>
#include <ostream.h>
#include <str.h>

#include <mbj/sys.h>

#include "spool.h"

static int box_order(const struct known_box *a, const struct known_box *b)
{
	return mbj_id_compare(a->id, b->id);
}

static int id_order(const struct mbj_id *id, const struct known_box *box)
{
	return mbj_id_compare(*id, box->id);
}

const struct known_box *known_find(struct known *known, struct mbj_id id)
{
	return array_bsearch(&known->boxes, &id, id_order);
}

/*
 * Another one under its id, made again where it was lost, has other messages
 * under the same UIDs.  The UIDVALIDITY that the journal has by now a run gives
 * it, which forgets what it makes anew, or the plugin, which makes no mailbox
 * under an id that has held messages (capture.c): UIDs go on.  Where its index
 * is in memory HIGHESTMODSEQ begins anew with each opening.
 */
static bool box_is_gone_on(struct apply *apply, const struct known_box *known,
			   const struct mailbox *box,
			   const struct mailbox_status *now)
{
	uint32_t node = mbj_tree_find(apply->wanted, known->id);

	return (known->uidvalidity == now->uidvalidity ||
		(node != MBJ_NODE_NONE &&
		 mbj_tree_get(apply->wanted, node)->uidvalidity ==
			 now->uidvalidity)) &&
	       known->uidnext <= now->uidnext &&
	       (known->modseq <= now->highest_modseq ||
		mail_index_is_in_memory(box->index));
}

void known_adapt(struct apply *apply, struct known_box *known,
		 const struct mailbox *box, const struct mailbox_status *now)
{
	if (box_is_gone_on(apply, known, box, now))
		return;
	known->mark = 0;
	if (known->doubt != 0)
		known->doubt = KNOWN_DOUBT_ALL;
}

void known_set(struct known *known, const struct known_box *box)
{
	struct known_box *boxes = array_front_modifiable(&known->boxes);

	boxes[known_find(known, box->id) - boxes] = *box;
	known->is_changed = true;
}

static bool line_parse(const char *line, struct known_box *ret_box)
{
	const char **words = t_strsplit(line, " ");
	const char *all[] = {NULL, NULL, NULL, "0", NULL, NULL, NULL, NULL};

	memset(ret_box, 0, sizeof(*ret_box));
	/* The version before had no doubts. */
	if (str_array_length(words) == N_ELEMENTS(all) - 1) {
		memcpy(all, words, 3 * sizeof(*words));
		memcpy(all + 4, words + 3, 4 * sizeof(*words));
		words = all;
	} else if (str_array_length(words) != N_ELEMENTS(all)) {
		return false;
	}
	return mbj_id_parse(mbj_bytes_str(words[0]), &ret_box->id) &&
	       str_to_uint64(words[1], &ret_box->rev) == 0 &&
	       str_to_uint32(words[2], &ret_box->mark) == 0 &&
	       str_to_uint32(words[3], &ret_box->doubt) == 0 &&
	       str_to_uint32(words[4], &ret_box->uidvalidity) == 0 &&
	       str_to_uint32(words[5], &ret_box->uidnext) == 0 &&
	       str_to_uint32(words[6], &ret_box->messages) == 0 &&
	       str_to_uint64(words[7], &ret_box->modseq) == 0;
}

static int known_parse(struct apply *apply, struct istream *input)
{
	struct known *known = &apply->known;
	const char *line = i_stream_read_next_line(input);

	if (!applied_parse(line, &known->applied))
		return apply_fail(apply,
				  "%s is not of this version: its first line "
				  "is not \"%s\" and what was applied",
				  known->path, APPLIED_HEAD);
	while ((line = i_stream_read_next_line(input)) != NULL) {
		struct known_box box;

		if (!line_parse(line, &box))
			return apply_fail(apply, "%s has a bad line: %s",
					  known->path, line);
		array_push_back(&known->boxes, &box);
	}
	if (input->stream_errno != 0)
		return apply_fail(apply, "cannot read %s: %s", known->path,
				  i_stream_get_error(input));
	array_sort(&known->boxes, box_order);
	return 0;
}

static int known_read(struct apply *apply)
{
	int fd = open(apply->known.path, O_RDONLY | O_CLOEXEC);
	struct istream *input;
	int ret;

	if (fd == -1 && errno == ENOENT)
		return 0;
	if (fd == -1)
		return apply_fail(apply, "cannot open %s: %s",
				  apply->known.path, strerror(errno));
	input = i_stream_create_fd_autoclose(&fd, APPLIED_LINE_MAX);
	ret = known_parse(apply, input);
	i_stream_destroy(&input);
	return ret;
}

/* What this host's users changed as another one's first is theirs to keep. */
static int spool_check(struct apply *apply, const char *root)
{
	struct mbj_error err = {.rc = MBJ_OK};
	struct spool spool;
	int ret = 0;

	spool_init(&spool, mbj_sys_posix(), root);
	if (spool_load(&spool, &err) < 0)
		ret = apply_fail(apply, "%s", err.message);
	else if (!spool_is_empty(&spool))
		ret = apply_fail(apply,
				 "%s/" SPOOL_NAME " has changes that the "
				 "journal of this host never had: doveadm mbj "
				 "drain tells them where its first reign "
				 "lasts; else export their mail, and remove "
				 "the file, which gives them up, before this "
				 "host is primary again",
				 root);
	spool_done(&spool);
	return ret;
}

int known_open(struct apply *apply)
{
	struct known *known = &apply->known;
	struct mailbox_list *list = apply->inbox->list;
	const char *root;

	p_array_init(&known->boxes, apply->user->pool, 64);
	if (!mailbox_list_get_root_path(list, MAILBOX_LIST_PATH_TYPE_CONTROL,
					&root))
		return apply_fail(apply, "INBOX's namespace has no directory");
	if (mailbox_list_mkdir_root(list, root,
				    MAILBOX_LIST_PATH_TYPE_CONTROL) < 0)
		return apply_fail(apply, "cannot make %s: %s", root,
				  mailbox_list_get_last_internal_error(list,
								       NULL));
	if (spool_check(apply, root) < 0)
		return -1;
	known->path =
		p_strdup_printf(apply->user->pool, "%s/" APPLIED_NAME, root);
	if (note_open(apply, known->path) < 0)
		return -1;
	return known_read(apply);
}

/*
 * Under its name at once, and the directory is on disk, too: by a note of
 * before a run would rely on marks of another mailbox, or not find that what it
 * had brought was of another history, and expunge what is nowhere else.
 */
int known_replace(struct apply *apply)
{
	const char *path = apply->known.path;
	const struct known_box *box;
	string_t *text = t_str_new(4096);
	char id[MBJ_ID_TEXT_SIZE];
	struct mbj_error err;

	applied_print(text, &apply->known.applied);
	array_foreach(&apply->known.boxes, box)
	{
		mbj_id_print(box->id, id);
		str_printfa(text, "%s %" PRIu64 " %u %u %u %u %u %" PRIu64 "\n",
			    id, box->rev, box->mark, box->doubt,
			    box->uidvalidity, box->uidnext, box->messages,
			    box->modseq);
	}
	if (mbj_file_replace(mbj_sys_posix(),
			     t_strdup_until(path, strrchr(path, '/')),
			     APPLIED_NAME,
			     mbj_bytes_make(str_data(text), str_len(text)),
			     &err) < 0)
		return apply_fail(apply, "%s", err.message);
	return 0;
}

int known_forget(struct apply *apply, struct mbj_id id)
{
	const struct known_box *box = known_find(&apply->known, id);

	if (box == NULL || (box->mark == 0 && box->rev == 0))
		return 0;
	known_set(&apply->known,
		  &(struct known_box){.id = id,
				      .doubt = box->doubt == 0
						       ? 0
						       : KNOWN_DOUBT_ALL});
	return known_replace(apply);
}

bool known_is_in_doubt(const struct known *known)
{
	const struct known_box *box;
	bool is_in_doubt = false;

	array_foreach(&known->boxes, box)
	{
		is_in_doubt |= box->doubt == KNOWN_DOUBT_ALL;
	}
	return is_in_doubt;
}

/* A mailbox may have got another id with what is in it. */
static uint32_t doubt_of_fresh(const struct known *known)
{
	const struct known_box *box;
	uint32_t doubt = 0;

	array_foreach(&known->boxes, box)
	{
		if (box->doubt != 0)
			doubt = KNOWN_DOUBT_ALL;
	}
	return doubt;
}

int known_add_wanted(struct apply *apply)
{
	struct known *known = &apply->known;
	uint32_t doubt = doubt_of_fresh(known);
	ARRAY_TYPE(known_box) fresh;

	t_array_init(&fresh, 64);
	for (uint32_t i = 0; i < mbj_tree_size(apply->wanted); i++) {
		const struct mbj_node *node = mbj_tree_get(apply->wanted, i);
		struct known_box box = {.id = node->id, .doubt = doubt};

		if (node->is_live && node->is_selectable &&
		    known_find(known, node->id) == NULL)
			array_push_back(&fresh, &box);
	}
	if (array_count(&fresh) == 0 && !known->is_changed)
		return 0;
	array_append_array(&known->boxes, &fresh);
	array_sort(&known->boxes, box_order);
	return known_replace(apply);
}

int known_write(struct apply *apply)
{
	ARRAY_TYPE(known_box) kept;
	const struct known_box *box;
	bool is_less = false;

	p_array_init(&kept, apply->user->pool, 64);
	array_foreach(&apply->known.boxes, box)
	{
		uint32_t node = mbj_tree_find(apply->wanted, box->id);

		if (node != MBJ_NODE_NONE)
			array_push_back(&kept, box);
		else
			is_less = true;
	}
	/* Of what a later state brought, too, nobody can say it is all. */
	if (apply->failures == 0 && apply->is_of_one_moment &&
	    !apply->known.applied.is_done)
		apply->known.applied.is_done = apply->known.is_changed = true;
	if (is_less || apply->known.is_changed) {
		apply->known.boxes = kept;
		if (known_replace(apply) < 0)
			return -1;
	}
	return note_end(apply);
}
