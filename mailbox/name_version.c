/*
 * The version of ICU that is linked.
 */
#include <unicode/uvernum.h>
#include <unicode/uversion.h>

#include <mbj/version.h>

_Static_assert(U_MAX_VERSION_STRING_LENGTH <= 32, "the text fits");

void mbj_name_version_get(char text[32])
{
	UVersionInfo version;

	u_getVersion(version);
	u_versionToString(version, text);
}
