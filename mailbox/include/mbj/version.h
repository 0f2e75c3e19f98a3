/*
 * Versions: of the library, of its formats, and of the libraries whose data
 * it depends on (Unicode data decides which names are accepted).
 */
#ifndef MBJ_VERSION_H
#define MBJ_VERSION_H

#include <mbj/export.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MBJ_VERSION "0.2.0"

enum {
	MBJ_FORMAT_JOURNAL = 1, /* segments, batch frames, groups */
	MBJ_FORMAT_STATE = 4,	/* tables and records */
	MBJ_FORMAT_SUPERBLOCK = 1,
};

struct mbj_version {
	const char *mbj;
	unsigned journal_format;
	unsigned state_format;
	char berkeley_db[32]; /* as linked, not as compiled */
	char icu[32];
};

MBJ_API void mbj_version_get(struct mbj_version *ret_version);

/* The parts of it that only their own files know. */
void mbj_db_version_get(char text[32]);
void mbj_name_version_get(char text[32]);

#ifdef __cplusplus
}
#endif

#endif
