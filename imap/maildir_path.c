/*
 * Names of folders: a '.', then the components of a mailbox's path in modified
 * UTF-7, joined by '.'.
 *
 * Invariant: a name of our own making parses to the path it was made from.
 *
 * Threads: as the converter.
 */
#include <mbj/check.h>
#include <mbj/maildir.h>

#include "maildir_path.h"

/* A component to UTF-8; what is no modified UTF-7 stays as it is. */
static enum mbj_rc component_parse(struct mbj_utf7 *utf7,
				   struct mbj_bytes component,
				   struct mbj_buf *ret_path,
				   struct mbj_error *err)
{
	size_t before = ret_path->n;
	enum mbj_rc rc;

	if (component.n == 0)
		return mbj_error_set(err, MBJ_EINVALID,
				     "a part of its name is empty");
	/* No mailbox is called so, and its bytes join components here. */
	if (memchr(component.p, '\0', component.n) != NULL)
		return mbj_error_set(err, MBJ_EINVALID,
				     "its name has a NUL in it");
	rc = mbj_utf7_decode(utf7, component, ret_path, err);
	if (rc != MBJ_EINVALID)
		return rc;
	ret_path->n = before;
	mbj_buf_put_bytes(ret_path, component);
	return mbj_buf_ok(ret_path, err);
}

enum mbj_rc maildir_path_split(struct mbj_utf7 *utf7, struct mbj_bytes name,
			       char separator, struct mbj_buf *ret_path,
			       struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_clear(ret_path);
	for (size_t at = 0; rc == MBJ_OK && at <= name.n;) {
		size_t n = at;

		while (n < name.n && name.p[n] != (uint8_t)separator)
			n++;
		if (at > 0)
			mbj_buf_put_u8(ret_path, 0);
		rc = component_parse(utf7, mbj_bytes_make(name.p + at, n - at),
				     ret_path, err);
		at = n + 1;
	}
	return rc == MBJ_OK ? mbj_buf_ok(ret_path, err) : rc;
}

enum mbj_rc maildir_path_join(struct mbj_utf7 *utf7, struct mbj_bytes path,
			      char separator, struct mbj_buf *ret_name,
			      struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t at = 0; rc == MBJ_OK && at < path.n;) {
		size_t n = at, before;

		while (n < path.n && path.p[n] != '\0')
			n++;
		if (at > 0)
			mbj_buf_put(ret_name, &separator, 1);
		before = ret_name->n;
		rc = mbj_utf7_encode(utf7, mbj_bytes_make(path.p + at, n - at),
				     ret_name, err);
		for (size_t i = before; rc == MBJ_OK && i < ret_name->n; i++)
			/* With a tab between parts, too: Dovecot reads a dot
			 * as one more. */
			if (ret_name->p[i] == '.')
				rc = mbj_error_set(
					err, MBJ_EINVALID,
					"a part of its name has a '.' in it, "
					"which separates parts there");
			else if (ret_name->p[i] == '/')
				rc = mbj_error_set(
					err, MBJ_EINVALID,
					"a part of its name has a '/' in it, "
					"which no file's name can have");
		at = n + 1;
	}
	return rc == MBJ_OK ? mbj_buf_ok(ret_name, err) : rc;
}

enum mbj_rc mbj_maildir_path_parse(struct mbj_utf7 *utf7, struct mbj_bytes name,
				   struct mbj_buf *ret_path,
				   struct mbj_error *err)
{
	if (name.n < 2 || name.p[0] != '.')
		return mbj_error_set(err, MBJ_EINVALID,
				     "it does not begin with a '.'");
	return maildir_path_split(utf7, mbj_bytes_make(name.p + 1, name.n - 1),
				  '.', ret_path, err);
}

enum mbj_rc mbj_maildir_path_put(struct mbj_utf7 *utf7, struct mbj_bytes path,
				 struct mbj_buf *ret_name,
				 struct mbj_error *err)
{
	enum mbj_rc rc;

	mbj_buf_clear(ret_name);
	if (mbj_bytes_equal(path, mbj_bytes_str("INBOX")))
		return MBJ_OK;
	mbj_buf_put_str(ret_name, ".");
	rc = maildir_path_join(utf7, path, '.', ret_name, err);
	if (rc == MBJ_OK && ret_name->n > MBJ_MAILDIR_NAME_MAX)
		rc = mbj_error_set(err, MBJ_EINVALID,
				   "its name takes %zu bytes there, a folder's "
				   "may take %d",
				   ret_name->n, MBJ_MAILDIR_NAME_MAX);
	return rc;
}
