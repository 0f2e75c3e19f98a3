/*
 * The system seam: files, wall clock and randomness, as the library sees
 * them.  Production uses mbj_sys_posix(); tests put another table underneath
 * to record, cut, fail or freeze.  Berkeley DB does its own input and output.
 *
 * Threads: the posix table is stateless; a struct mbj_file is used by one
 * thread at a time.
 */
#ifndef MBJ_SYS_H
#define MBJ_SYS_H

#include <sys/types.h>

#include <mbj/error.h>
#include <mbj/memory.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MBJ_PATH_TEXT_MAX = 1024 };

/*
 * One function per system call.  Each returns the call's result or -errno;
 * ctx is the table owner's.  Short reads and writes are legal; -EINTR is not,
 * an interrupted call is begun again below this seam.
 */
struct mbj_sys {
	void *ctx;
	int (*open)(void *ctx, const char *path, int flags, mode_t mode);
	int (*close)(void *ctx, int fd);
	ssize_t (*pread)(void *ctx, int fd, void *p, size_t n, off_t at);
	ssize_t (*pwrite)(void *ctx, int fd, const void *p, size_t n, off_t at);
	int (*fdatasync)(void *ctx, int fd);
	int (*fsync)(void *ctx, int fd);
	/* The file system that the descriptor is on, all of it. */
	int (*syncfs)(void *ctx, int fd);
	int64_t (*size)(void *ctx, int fd);
	/* At once, alone or beside others who share it; -EWOULDBLOCK. */
	int (*lock)(void *ctx, int fd, bool is_shared);
	int (*rename)(void *ctx, const char *from, const char *to);
	/* Of path itself: a symbolic link is not followed. */
	int (*link)(void *ctx, const char *from, const char *to);
	int (*unlink)(void *ctx, const char *path);
	int (*mkdir)(void *ctx, const char *path, mode_t mode);
	int (*rmdir)(void *ctx, const char *path);
	/* Entry names but "." and "..", each followed by a NUL. */
	int (*list)(void *ctx, const char *path, struct mbj_buf *names);
	/* st_mode, st_uid of path itself (no link followed). */
	int (*stat)(void *ctx, const char *path, mode_t *mode, uid_t *uid);
	/* When an open file's content last changed: seconds since 1970, UTC. */
	int (*mtime)(void *ctx, int fd, int64_t *ret_time);
	int (*set_mtime)(void *ctx, int fd, int64_t time);
	int64_t (*now_us)(void *ctx); /* microseconds UTC since 1970 */
	int (*random)(void *ctx, void *p, size_t n);
	/* Begin to write what was written to it to the disk, without waiting;
	 * NULL: the system does when it likes. */
	int (*write_begin)(void *ctx, int fd);
	/* What we may still take of its file system; NULL: no limit. */
	int64_t (*space)(void *ctx, const char *path);
};

MBJ_API const struct mbj_sys *mbj_sys_posix(void);

/* Milliseconds that no clock that is set makes jump: for waiting, not for
 * records. */
int64_t mbj_monotonic_ms(void);

/* A fresh random identity, never a reserved one. */
enum mbj_rc mbj_id_generate(const struct mbj_sys *sys, struct mbj_id *ret_id,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* An open file that knows its path for messages. */
struct mbj_file {
	const struct mbj_sys *sys;
	int fd; /* -1: not open */
	char path[MBJ_PATH_TEXT_MAX];
};

#define MBJ_FILE_CLOSED ((struct mbj_file){.fd = -1})

/* dir + "/" + name, one slash where dir ends with it; MBJ_ELIMIT where it does
 * not fit. */
enum mbj_rc mbj_path_join(char path[MBJ_PATH_TEXT_MAX], const char *dir,
			  const char *name,
			  struct mbj_error *err) MBJ_MUST_CHECK;

/* flags as in open(2); O_CLOEXEC is added; mode 0600. */
enum mbj_rc mbj_file_open(const struct mbj_sys *sys, const char *path,
			  int flags, struct mbj_file *ret_file,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* Close; a second call does nothing.  Errors of close(2) mean nothing here. */
void mbj_file_close(struct mbj_file *file);
/* Reads until n bytes or end of file. */
enum mbj_rc mbj_file_read(struct mbj_file *file, uint64_t at, void *p, size_t n,
			  size_t *ret_n, struct mbj_error *err) MBJ_MUST_CHECK;
/* Writes all or fails; after a failure an unknown part is written. */
enum mbj_rc mbj_file_write(struct mbj_file *file, uint64_t at, const void *p,
			   size_t n, struct mbj_error *err) MBJ_MUST_CHECK;
/* fdatasync(2).  Durability: what was written before is on disk. */
enum mbj_rc mbj_file_sync(struct mbj_file *file,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * syncfs(2): what was written before to its file system is on disk, and all of
 * it since it was opened, or this was called.
 */
enum mbj_rc mbj_file_sync_fs(struct mbj_file *file,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What was written before is on its way to the disk: for a later sync of many
 * files, which then waits for less.  Promises nothing.
 */
void mbj_file_write_begin(struct mbj_file *file);
enum mbj_rc mbj_file_size(struct mbj_file *file, uint64_t *ret_size,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* When its content last changed, in seconds since 1970; and saying so. */
enum mbj_rc mbj_file_time(struct mbj_file *file, int64_t *ret_time,
			  struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_file_set_time(struct mbj_file *file, int64_t time,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* fsync(2).  Durability: what was written before, and its time. */
enum mbj_rc mbj_file_sync_all(struct mbj_file *file,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Returns: MBJ_EBUSY where another process holds it. */
enum mbj_rc mbj_file_lock(struct mbj_file *file,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* Likewise, beside others who share it: for who only asks. */
enum mbj_rc mbj_file_lock_shared(struct mbj_file *file,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/* fsync(2) of a directory: its entries are on disk. */
enum mbj_rc mbj_dir_sync(const struct mbj_sys *sys, const char *path,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * syncfs(2): what was written to files in a directory, and all else on its
 * file system, is on disk.  For many files: it costs what others have written.
 * Reports failed writes since Linux 5.8.
 */
enum mbj_rc mbj_fs_sync(const struct mbj_sys *sys, const char *path,
			struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_dir_make(const struct mbj_sys *sys, const char *path,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* Entry names in byte order replace names, each NUL-terminated. */
enum mbj_rc mbj_dir_list(const struct mbj_sys *sys, const char *path,
			 struct mbj_buf *names,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Of such a list the name after one of its own, or the first after NULL; NULL
 * after the last.
 */
const char *mbj_names_next(const struct mbj_buf *names, const char *name);
enum mbj_rc mbj_file_remove(const struct mbj_sys *sys, const char *path,
			    struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_file_rename(const struct mbj_sys *sys, const char *from,
			    const char *to,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* Bytes that are left for us where path is; UINT64_MAX: no limit is known. */
uint64_t mbj_space_left(const struct mbj_sys *sys, const char *path);
/*
 * A hard link.  *ret_is_linked false: not here (another device, no such links
 * in this file system, too many of them, no right to), the bytes have to be
 * copied.  Returns: MBJ_ENOTFOUND, MBJ_EEXISTS.
 */
enum mbj_rc mbj_file_link(const struct mbj_sys *sys, const char *from,
			  const char *to, bool *ret_is_linked,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The whole file, at most max bytes (MBJ_ELIMIT), appended to ret_bytes, which
 * is as it was after a failure.
 */
enum mbj_rc mbj_file_load(const struct mbj_sys *sys, const char *path,
			  size_t max, struct mbj_buf *ret_bytes,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Replace dir/name by bytes: temporary name, sync, rename, directory sync.
 * Durability: on return the new content is on disk; after a crash the old or
 * the new content is there, never a mixture.
 */
enum mbj_rc mbj_file_replace(const struct mbj_sys *sys, const char *dir,
			     const char *name, struct mbj_bytes bytes,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* False only where it is known not to: no right to look counts as there. */
bool mbj_path_exists(const struct mbj_sys *sys, const char *path);

#ifdef __cplusplus
}
#endif

#endif
