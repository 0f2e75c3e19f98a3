/*
 * Names on the wire, and paths of ours; see push.h.
 *
 * INBOX has no prefix.  Where there is one, what is below INBOX has no name
 * that every server understands in the same way, and is left out.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "push.h"

void push_parked(struct mbj_id id, char name[PUSH_PARKED_SIZE])
{
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(id, text);
	(void)snprintf(name, PUSH_PARKED_SIZE, PUSH_PARKED "%s", text);
}

struct mbj_bytes push_name_text(struct push *p, struct mbj_bytes name)
{
	mbj_buf_clear(&p->path);
	if (p->utf7 == NULL ||
	    mbj_utf7_decode(p->utf7, name, &p->path, NULL) < 0) {
		mbj_buf_clear(&p->path);
		mbj_buf_put_bytes(&p->path, name);
	}
	return mbj_buf_view(&p->path);
}

void push_say(struct push *p, struct mbj_bytes name, const char *format, ...)
{
	char what[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	name = push_name_text(p, name);
	cli_say(p->call, "mailbox %.*s %s", (int)name.n, (const char *)name.p,
		what);
}

static bool is_inbox_path(struct mbj_bytes path, char delimiter)
{
	const uint8_t *end =
		delimiter == '\0' || path.n == 0
			? NULL
			: memchr(path.p, (uint8_t)delimiter, path.n);

	if (end != NULL)
		path.n = (size_t)(end - path.p);
	return mbj_imap_is_inbox(path);
}

/* path, with the prefix where it takes one, to the wire and the arena. */
static enum mbj_rc path_encode(struct push *p, struct mbj_bytes path,
			       struct mbj_bytes *ret_name)
{
	enum mbj_rc rc;

	mbj_buf_clear(&p->name);
	if (!is_inbox_path(path, p->delimiter))
		mbj_buf_put_bytes(&p->name, mbj_buf_view(&p->prefix));
	rc = mbj_utf7_encode(p->utf7, path, &p->name, &p->err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&p->name, &p->err);
	if (rc == MBJ_OK &&
	    !mbj_arena_dup(p->arena, mbj_buf_view(&p->name), ret_name))
		rc = mbj_error_nomem(&p->err);
	return rc;
}

enum mbj_rc push_name(struct push *p, const struct mbj_tree *tree,
		      uint32_t node, struct mbj_bytes *ret_name)
{
	enum mbj_rc rc;

	mbj_buf_clear(&p->path);
	mbj_tree_path(tree, node, p->delimiter == '\0' ? '/' : p->delimiter,
		      &p->path);
	rc = mbj_buf_ok(&p->path, &p->err);
	return rc == MBJ_OK ? path_encode(p, mbj_buf_view(&p->path), ret_name)
			    : rc;
}

enum mbj_rc push_path(struct push *p, struct mbj_bytes name,
		      struct mbj_bytes *ret_path)
{
	struct mbj_bytes prefix = mbj_buf_view(&p->prefix);
	bool is_inbox =
		is_inbox_path(name, p->prefix.n > 0 ? '\0' : p->delimiter);

	*ret_path = mbj_bytes_make(NULL, 0);
	if (!is_inbox &&
	    (name.n <= prefix.n ||
	     (prefix.n > 0 && memcmp(name.p, prefix.p, prefix.n) != 0)))
		return MBJ_OK;
	if (!is_inbox) {
		name.p += prefix.n;
		name.n -= prefix.n;
		if (is_inbox_path(name, p->delimiter))
			return MBJ_OK;
	}
	mbj_buf_clear(&p->path);
	if (mbj_utf7_decode(p->utf7, name, &p->path, NULL) < 0 ||
	    mbj_buf_ok(&p->path, NULL) < 0)
		return MBJ_OK;
	if (is_inbox)
		memcpy(p->path.p, "INBOX", 5);
	return mbj_arena_dup(p->arena, mbj_buf_view(&p->path), ret_path)
		       ? MBJ_OK
		       : mbj_error_nomem(&p->err);
}

/* Something below INBOX, which is the first component. */
static bool is_below_inbox(struct mbj_bytes components)
{
	const uint8_t *end = memchr(components.p, '\0', components.n);

	return end != NULL &&
	       mbj_imap_is_inbox(mbj_bytes_make(components.p,
						(size_t)(end - components.p)));
}

/* Can the server have it, whatever it then says? */
static bool is_possible(const struct push *p, struct mbj_bytes components)
{
	static const char PARKED[] = PUSH_PARKED;

	if (components.n == 0 ||
	    (components.n >= sizeof(PARKED) - 1 &&
	     memcmp(components.p, PARKED, sizeof(PARKED) - 1) == 0))
		return false;
	if (p->delimiter == '\0')
		return memchr(components.p, '\0', components.n) == NULL;
	return memchr(components.p, (uint8_t)p->delimiter, components.n) ==
		       NULL &&
	       (p->prefix.n == 0 || !is_below_inbox(components));
}

enum mbj_rc push_name_of(struct push *p, struct mbj_bytes components,
			 struct mbj_bytes *ret_name)
{
	enum mbj_rc rc;

	*ret_name = mbj_bytes_make(NULL, 0);
	if (!is_possible(p, components))
		return MBJ_OK;
	mbj_buf_clear(&p->path);
	mbj_buf_put_bytes(&p->path, components);
	rc = mbj_buf_ok(&p->path, &p->err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < p->path.n; i++) {
		if (p->path.p[i] == '\0')
			p->path.p[i] = (uint8_t)p->delimiter;
	}
	return path_encode(p, mbj_buf_view(&p->path), ret_name);
}
