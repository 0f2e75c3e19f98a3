/*
 * Names that a host cannot have.  See apply_name.h.
 *
 * A mailbox is its GUID: under another name its mail comes, and is there for
 * who fails over.  Left out it would hold up the user's other folders, too.
 */
#include "apply_name.h"

#include <crc32.h>
#include <hex-binary.h>
#include <str.h>

#include <stdlib.h>

#include "inbox.h"

enum {
	KEPT_MAX = 100,	 /* bytes of the name */
	SUFFIX_MAX = 32, /* digits, of its GUID */
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
	const struct mbj_node *wanted = mbj_tree_get(apply->wanted, node);
	const char *path = apply_path(apply, apply->wanted, node);
	const char separator = mail_namespace_get_sep(apply->inbox);
	const char *why = NULL;
	struct mailbox *box;

	if (memchr(wanted->name.stored.p, separator, wanted->name.stored.n) !=
	    NULL)
		return "It has the separator of folders in it";
	/* A place may be the way to a namespace. */
	if (!apply_is_own(apply, path))
		return wanted->is_selectable ? "It is another namespace's"
					     : NULL;
	box = apply_box(apply, path);
	if (box_is_inbox_alias(box) && wanted->is_selectable)
		why = "It is INBOX itself";
	else if (mailbox_verify_create_name(box) < 0)
		why = t_strdup(mailbox_get_last_internal_error(box, NULL));
	else
		why = path_too_long(box);
	mailbox_free(&box);
	return why;
}

/* Whoever is there, or leads there, has had the name. */
static bool is_passed(const ARRAY_TYPE(apply_folder) * folders, char separator,
		      const char *path)
{
	const struct apply_folder *folder;
	size_t n = strlen(path);

	array_foreach(folders, folder)
	{
		if (strncmp(folder->vname, path, n) == 0 &&
		    folder->vname[n] == separator)
			return true;
	}
	return false;
}

/* -------------------------------------------------------------- another one */

/*
 * Valid in UTF-8, and in every layout.  A GUID of Dovecot's begins with
 * microseconds, which are few, so a part of it is made of all of it.
 */
static const char *name_make(const struct apply *apply, struct mbj_bytes name,
			     struct mbj_id id, bool has_guid)
{
	const char replaced[] = {'.',  '/',
				 '\\', '~',
				 '%',  '*',
				 '^',  mail_namespace_get_sep(apply->inbox),
				 '\0'};
	string_t *made = t_str_new(KEPT_MAX + SUFFIX_MAX + 2);
	size_t n = name.n;

	if (n > KEPT_MAX)
		for (n = KEPT_MAX; n > 0 && (name.p[n] & 0xc0) == 0x80; n--)
			continue;
	for (size_t i = 0; i < n; i++) {
		char c = (char)name.p[i];

		if (c != '\0' && strchr(replaced, c) != NULL)
			c = '_';
		str_append_data(made, &c, 1);
	}
	str_append_c(made, '-');
	if (has_guid)
		str_append(made, binary_to_hex(id.b, sizeof(id.b)));
	else
		str_printfa(made, "%08x", crc32_data(id.b, sizeof(id.b)));
	return str_c(made);
}

/* The node above INBOX's namespace: names have its prefix. */
static uint32_t top_of(const struct apply *apply)
{
	const char separators[] = {mail_namespace_get_sep(apply->inbox), '\0'};
	const char *const *names = t_strsplit(apply->inbox->prefix, separators);
	uint32_t top = MBJ_NODE_ROOT;

	for (; *names != NULL && **names != '\0' && top != MBJ_NODE_NONE;
	     names++)
		top = mbj_tree_find_slot(apply->wanted, top,
					 mbj_bytes_str(*names));
	return top;
}

/* Returns: it has that place, and can be there. */
static bool node_move(struct apply *apply, uint32_t node, uint32_t parent,
		      const char *called)
{
	const struct mbj_bytes bytes = mbj_bytes_str(called);
	const struct mbj_name name = {bytes, bytes};
	struct mbj_error err;

	return parent != MBJ_NODE_NONE &&
	       mbj_tree_move(apply->wanted, node, parent, &name, &err) ==
		       MBJ_OK &&
	       node_refused(apply, node) == NULL;
}

/*
 * Where it was, or, since what it is below may be too long by itself, at the
 * top: where somebody else's folder has that name, too, by a longer one.
 */
static bool node_place(struct apply *apply, uint32_t node,
		       const struct mbj_node *was)
{
	const char *name = name_make(apply, was->name.stored, was->id, false);
	uint32_t top = top_of(apply);

	return node_move(apply, node, was->parent, name) ||
	       node_move(apply, node, top, name) ||
	       node_move(apply, node, top,
			 name_make(apply, was->name.stored, was->id, true));
}

static int node_fit(struct apply *apply, uint32_t node, const char *path,
		    const char *why)
{
	const struct mbj_node was = *mbj_tree_get(apply->wanted, node);
	struct apply_fitted fitted = {.from = path};
	struct mbj_error err;

	if (apply->told == NULL &&
	    mbj_tree_dup(apply->wanted, &apply->told, &err) < 0)
		return apply_fail(apply, "the tree of mailboxes: %s",
				  err.message);
	if (!node_place(apply, node, &was)) {
		/* Whoever makes it will say what is wrong. */
		if (mbj_tree_move(apply->wanted, node, was.parent, &was.name,
				  &err) < 0)
			return apply_fail(apply, "the tree of mailboxes: %s",
					  err.message);
		return 0;
	}
	fitted.to = apply_path(apply, apply->wanted, node);
	array_push_back(&apply->fitted, &fitted);
	(void)apply_fail(apply,
			 "mailbox %s cannot have its name here, and is called "
			 "%s: %s",
			 path, fitted.to, why);
	return 0;
}

static bool node_is_there(const struct apply *apply,
			  const ARRAY_TYPE(named) * named, uint32_t node)
{
	const char *path = apply_path(apply, apply->wanted, node);

	return strcmp(path, "INBOX") == 0 ||
	       is_there(named, mbj_tree_get(apply->wanted, node)->id, path);
}

/* Mailboxes that are to come to their names, and the places on the way. */
static bool *nodes_to_come(const struct apply *apply,
			   const ARRAY_TYPE(named) * named,
			   const uint32_t *order, size_t count)
{
	uint32_t size = mbj_tree_size(apply->wanted);
	bool *to_come = t_new(bool, size + 1);

	for (size_t i = count; i-- > 0;) {
		const struct mbj_node *node =
			mbj_tree_get(apply->wanted, order[i]);

		to_come[order[i]] |= node->is_selectable &&
				     !node_is_there(apply, named, order[i]);
		if (to_come[order[i]] && node->parent < size)
			to_come[node->parent] = true;
	}
	return to_come;
}

int names_fit(struct apply *apply, const ARRAY_TYPE(apply_folder) * folders)
{
	const char separator = mail_namespace_get_sep(apply->inbox);
	ARRAY_TYPE(named) named;
	uint32_t *order = NULL;
	struct mbj_error err;
	size_t count = 0;
	bool *to_come;
	int ret = 0;

	t_array_init(&apply->fitted, 4);
	named_list(folders, &named);
	if (mbj_tree_order(apply->wanted, &order, &count, &err) < 0)
		return apply_fail(apply, "the tree of mailboxes: %s",
				  err.message);
	to_come = nodes_to_come(apply, &named, order, count);
	/* Each behind what it is below, which may have another name by now. */
	for (size_t i = 0; ret == 0 && i < count; i++) {
		const char *path = apply_path(apply, apply->wanted, order[i]);
		const char *why = NULL;

		if (to_come[order[i]] &&
		    !node_is_there(apply, &named, order[i]))
			why = node_refused(apply, order[i]);
		if (why != NULL && !is_passed(folders, separator, path))
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
