/*
 * Kinds of attributes.
 *
 * Threads: pure.
 */
#include <mbj/attribute.h>

const char *mbj_attr_kind_name(uint8_t kind)
{
	return kind == MBJ_ATTR_ACL	   ? "acl"
	       : kind == MBJ_ATTR_METADATA ? "metadata"
					   : NULL;
}
