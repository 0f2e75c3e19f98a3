/*
 * Reading documents: a file, or standard input.  At most INPUT_MAX bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

enum { INPUT_MAX = 512 << 20, INPUT_STEP = 4096 };

enum mbj_rc cli_read(const char *path, struct mbj_buf *ret_bytes,
		     struct mbj_error *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	const char *name = is_stdin ? "standard input" : path;
	uint8_t step[INPUT_STEP];
	enum mbj_rc rc = MBJ_OK;
	ssize_t n;
	int fd;

	fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return mbj_error_errno(err, errno, "cannot open", path);
	mbj_buf_init(ret_bytes, INPUT_MAX);
	do {
		n = read(fd, step, sizeof(step));
		if (n > 0)
			mbj_buf_put(ret_bytes, step, (size_t)n);
	} while ((n > 0 && ret_bytes->failed == MBJ_OK) ||
		 (n < 0 && errno == EINTR));
	if (n < 0)
		rc = mbj_error_errno(err, errno, "cannot read", name);
	else if (mbj_buf_ok(ret_bytes, err) < 0)
		rc = mbj_error_prefix(err, ret_bytes->failed, "%s", name);
	if (!is_stdin)
		(void)close(fd);
	if (rc < 0)
		mbj_buf_done(ret_bytes);
	return rc;
}
