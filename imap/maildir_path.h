/*
 * Paths in modified UTF-7 with any separator, for names of folders and of
 * subscriptions alike.
 */
#ifndef MAILDIR_PATH_H
#define MAILDIR_PATH_H

#include <mbj/memory.h>
#include <mbj/utf7.h>

/* Replaces ret_path.  Returns: MBJ_EINVALID for an empty component. */
enum mbj_rc maildir_path_split(struct mbj_utf7 *utf7, struct mbj_bytes name,
			       char separator, struct mbj_buf *ret_path,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* Appends.  Returns: MBJ_EINVALID where a component has a '.' or a '/'. */
enum mbj_rc maildir_path_join(struct mbj_utf7 *utf7, struct mbj_bytes path,
			      char separator, struct mbj_buf *ret_name,
			      struct mbj_error *err) MBJ_MUST_CHECK;

#endif
