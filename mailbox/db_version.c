/*
 * The version of Berkeley DB that is linked.
 */
#define _DEFAULT_SOURCE /* u_int in db.h */
#include <db.h>
#include <stdio.h>

#include <mbj/version.h>

void mbj_db_version_get(char text[32])
{
	int major;
	int minor;
	int patch;

	(void)db_version(&major, &minor, &patch);
	(void)snprintf(text, 32, "%d.%d.%d", major, minor, patch);
}
