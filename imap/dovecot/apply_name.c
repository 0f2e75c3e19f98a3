/*
 * Names that a host cannot have.  See apply_name.h.
 *
 * A mailbox is its GUID: under another name its mail comes, and is there for
 * who fails over.  Left out it would hold up the user's other folders, too.
 */
#include "apply_name.h"

#include <str.h>

#include <stdlib.h>

enum {
	KEPT_MAX = 100,	 /* bytes of the name */
	SUFFIX_SIZE = 8, /* digits of the GUID */
	FILE_MAX = 255,	 /* bytes of a file's name */
};

/* ----------------------------------------------------- what is there anyway */

struct named {
	struct mbj_id id;
	const char *vname;
};
ARRAY_DEFINE_TYPE(named, struct named);

static int named_order(const struct named *a, const struct named *b)
{
	return mbj_id_compare(a->id, b->id);
}

static void named_list(const ARRAY_TYPE(apply_folder) * folders,
		       ARRAY_TYPE(named) * named)
{
	const struct apply_folder *folder;

	t_array_init(named, array_count(folders) + 1);
	array_foreach(folders, folder)
	{
		const struct named one = {folder->id, folder->vname};

		if (!mbj_id_is_root(folder->id))
			array_push_back(named, &one);
	}
	array_sort(named, named_order);
}

static int named_find(const void *key, const void *element)
{
	const struct named *a = key, *b = element;

	return mbj_id_compare(a->id, b->id);
}

static bool is_there(const ARRAY_TYPE(named) * named, struct mbj_id id,
		     const char *path)
{
	const struct named key = {id, path}, *list, *found;
	unsigned int count;

	list = array_get(named, &count);
	found = count == 0
			? NULL
			: bsearch(&key, list, count, sizeof(*list), named_find);
	return found != NULL && strcmp(found->vname, path) == 0;
}

/* -------------------------------------------------------------- what can be */

/* Some layouts have a whole path in one file's name. */
static const char *path_too_long(struct mailbox *box)
{
	const char *dir;

	if (mailbox_list_get_path(box->list, box->name,
				  MAILBOX_LIST_PATH_TYPE_DIR, &dir) <= 0)
		return NULL;
	for (const char *const *names = t_strsplit(dir, "/"); *names != NULL;
	     names++)
		if (strlen(*names) > FILE_MAX)
			return "Mailbox name too long";
	return NULL;
}

/* Why the node cannot be there, or NULL. */
static const char *node_refused(struct apply *apply, uint32_t node)
{
	const char *path = apply_path(apply, apply->wanted, node);
	struct mbj_bytes name = mbj_tree_get(apply->wanted, node)->name.stored;
	const char separator = mail_namespace_get_sep(apply->inbox);
	const char *why = NULL;
	struct mailbox *box;

	if (memchr(name.p, separator, name.n) != NULL)
		return "It has the separator of folders in it";
	if (!apply_is_own(apply, path))
		return "It is another namespace's";
	box = apply_box(apply, path);
	if (mailbox_verify_create_name(box) < 0)
		why = t_strdup(mailbox_get_last_internal_error(box, NULL));
	else
		why = path_too_long(box);
	mailbox_free(&box);
	return why;
}

/* -------------------------------------------------------------- another one */

/* Valid in UTF-8, and in every layout. */
static const char *name_make(struct mbj_bytes name, struct mbj_id id)
{
	static const char REPLACED[] = "./\\~%*^";
	char text[MBJ_ID_TEXT_SIZE];
	string_t *made = t_str_new(KEPT_MAX + SUFFIX_SIZE + 2);
	size_t n = name.n;

	if (n > KEPT_MAX)
		for (n = KEPT_MAX; n > 0 && (name.p[n] & 0xc0) == 0x80; n--)
			continue;
	for (size_t i = 0; i < n; i++) {
		char c = (char)name.p[i];

		if (c != '\0' && strchr(REPLACED, c) != NULL)
			c = '_';
		str_append_data(made, &c, 1);
	}
	mbj_id_print(id, text);
	str_append_c(made, '-');
	str_append_data(made, text, SUFFIX_SIZE);
	return str_c(made);
}

static int node_rename(struct apply *apply, uint32_t node, uint32_t parent,
		       const struct mbj_name *name)
{
	struct mbj_error err;

	if (mbj_tree_move(apply->wanted, node, parent, name, &err) < 0)
		return apply_fail(apply, "the tree of mailboxes: %s",
				  err.message);
	return 0;
}

static int node_fit(struct apply *apply, uint32_t node, const char *path,
		    const char *why)
{
	const struct mbj_node was = *mbj_tree_get(apply->wanted, node);
	const struct mbj_bytes made =
		mbj_bytes_str(name_make(was.name.stored, was.id));
	const struct mbj_name name = {made, made};
	struct apply_fitted fitted = {.from = path};

	if (node_rename(apply, node, was.parent, &name) < 0)
		return -1;
	/* What it is below may be too long by itself. */
	if (node_refused(apply, node) != NULL &&
	    node_rename(apply, node, MBJ_NODE_ROOT, &name) < 0)
		return -1;
	/* It is not the name: whoever makes it will say what. */
	if (node_refused(apply, node) != NULL)
		return node_rename(apply, node, was.parent, &was.name);
	fitted.to = apply_path(apply, apply->wanted, node);
	array_push_back(&apply->fitted, &fitted);
	(void)apply_fail(apply,
			 "mailbox %s cannot have its name here, and is called "
			 "%s: %s",
			 path, fitted.to, why);
	return 0;
}

int names_fit(struct apply *apply, const ARRAY_TYPE(apply_folder) * folders)
{
	ARRAY_TYPE(named) named;
	uint32_t *order = NULL;
	struct mbj_error err;
	size_t count = 0;
	int ret = 0;

	t_array_init(&apply->fitted, 4);
	named_list(folders, &named);
	if (mbj_tree_order(apply->wanted, &order, &count, &err) < 0)
		return apply_fail(apply, "the tree of mailboxes: %s",
				  err.message);
	/* Each behind what it is below. */
	for (size_t i = 0; ret == 0 && i < count; i++) {
		const char *path = apply_path(apply, apply->wanted, order[i]);
		const char *why = NULL;

		if (strcmp(path, "INBOX") != 0 &&
		    !is_there(&named, mbj_tree_get(apply->wanted, order[i])->id,
			      path))
			why = node_refused(apply, order[i]);
		if (why != NULL)
			ret = node_fit(apply, order[i], path, why);
	}
	mbj_free(order);
	return ret;
}

const char *name_fitted(const struct apply *apply, const char *path)
{
	const char separator = mail_namespace_get_sep(apply->inbox);
	const struct apply_fitted *fitted;

	if (!array_is_created(&apply->fitted))
		return path;
	/* One below another comes behind it, with the other's new path. */
	array_foreach(&apply->fitted, fitted)
	{
		size_t n = strlen(fitted->from);

		if (strncmp(path, fitted->from, n) == 0 &&
		    (path[n] == '\0' || path[n] == separator))
			path = t_strconcat(fitted->to, path + n, NULL);
	}
	return path;
}
